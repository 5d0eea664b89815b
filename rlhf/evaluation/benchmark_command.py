"""`python -m rlhf.evaluation.benchmark`: make a set of drawn people, or check one.

python -m rlhf.evaluation.benchmark OUT --portraits --identities 50 --prompts 50 50 --seed 0
python -m rlhf.evaluation.benchmark check SET
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from rlhf.evaluation.benchmark import read_benchmark
from rlhf.evaluation.benchmark_entry import EntryFacts, ReferencesUsed, read_entry
from rlhf.evaluation.benchmark_names import NameBy, enter_videos
from rlhf.evaluation.benchmark_people import MakePlan
from rlhf.evaluation.benchmark_portraits import make_portraits

PROGRAM = "python -m rlhf.evaluation.benchmark"


def main(arguments: list[str]) -> int:
    """Read the command line, and print what was done as JSON.

    Returns:
        Exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage.
    """
    does = _COMMANDS.get(arguments[0]) if arguments else None
    try:
        said = does(arguments[1:]) if does else _make(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps(said, indent=1, ensure_ascii=False))
    return 0


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a `MakePlan`."""
    plan = MakePlan()
    parser.add_argument("--identities", type=int, default=plan.num_identities, help="people (default 50)")
    parser.add_argument(
        "--references", type=int, default=plan.num_references, help="of each person, 1 to 5 (default 5)"
    )
    parser.add_argument(
        "--prompts",
        type=int,
        nargs=2,
        default=(plan.num_ipt2v, plan.num_iept2v),
        metavar=("IPT2V", "IEPT2V"),
        help="prompts of each task (default 50 50)",
    )
    parser.add_argument("--seed", type=int, default=plan.seed, help="another one gives another set")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=plan.seeds, help="of each instance's videos (default 0)"
    )
    parser.add_argument("--name", default=plan.name, help="of the set")
    parser.add_argument("--set-version", default=plan.version, help="of the set (default 1)")


def read_plan(options: dict[str, Any]) -> MakePlan:
    """The plan that `add_plan_arguments` asked for.

    Raises:
        ValueError: a number out of its range.
    """
    return MakePlan(
        num_identities=options["identities"],
        num_references=options["references"],
        num_ipt2v=options["prompts"][0],
        num_iept2v=options["prompts"][1],
        seed=options["seed"],
        seeds=tuple(options["seeds"]),
        name=options["name"],
        version=options["set_version"],
    )


def _make(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="the set's folder")
    parser.add_argument(
        "--portraits",
        action="store_true",
        required=True,
        help="of drawn people; of a curated collection: manage.py make_benchmark",
    )
    add_plan_arguments(parser)
    options = parser.parse_args(arguments)
    made = make_portraits(options.folder, read_plan(vars(options)))
    return {"folder": str(options.folder), **made.identity, "instances": len(made.instances)}


def _check(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} check", description="Read a set and every file of it, and the videos of an entry."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--entry", type=Path, help="folder of a model's videos")
    options = parser.parse_args(arguments)
    found = read_benchmark(options.folder)
    card = found.card
    said = {**found.identity, "instances": card.num_instances, "identities": card.num_identities}
    return said if options.entry is None else {**said, "entry": read_entry(options.entry, found).to_json()}


def _enter(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} enter", description="Copy a model's videos under the names of a set."
    )
    parser.add_argument("folder", type=Path, help="of the entry")
    parser.add_argument("set", type=Path)
    parser.add_argument("videos", type=Path)
    parser.add_argument(
        "--name-by", choices=get_args(NameBy), required=True, help="what the names of the videos say"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first prompt (default 0)")
    parser.add_argument("--model", required=True, help="who made them")
    parser.add_argument("--licence", default="", help="of its weights")
    parser.add_argument("--source", default="", help="where to find it")
    parser.add_argument("--references-used", choices=get_args(ReferencesUsed), default="primary")
    options = parser.parse_args(arguments)
    benchmark = read_benchmark(options.set)
    facts = EntryFacts(
        model=options.model,
        licence=options.licence,
        source=options.source,
        references_used=options.references_used,
        of_set=benchmark.identity,
    )
    brought = enter_videos(options.folder, benchmark, options.videos, options.name_by, facts, options.first)
    return {**brought.to_json(), "entry": read_entry(options.folder, benchmark).to_json()}


_COMMANDS: dict[str, Callable[[list[str]], dict[str, Any]]] = {"check": _check, "enter": _enter}
