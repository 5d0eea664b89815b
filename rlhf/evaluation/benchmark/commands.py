"""Make a benchmark set of drawn people, check a set, or enter another model's videos.

python -m rlhf.evaluation.benchmark OUT --portraits --identities 50 --prompts 50 50 --seed 0
python -m rlhf.evaluation.benchmark check SET [--entry FOLDER]
python -m rlhf.evaluation.benchmark enter OUT SET VIDEOS --name-by index --model Phantom
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from rlhf.evaluation.benchmark.entry import EntryFacts, ReferencesUsed, read_entry
from rlhf.evaluation.benchmark.names import NameBy, enter_videos
from rlhf.evaluation.benchmark.plan import add_plan_arguments, read_plan
from rlhf.evaluation.benchmark.portraits import make_portraits
from rlhf.evaluation.benchmark.set import read_benchmark

PROGRAM = "python -m rlhf.evaluation.benchmark"


def main(arguments: list[str]) -> int:
    """Read the command line, and print what was done as JSON.

    Returns:
        Exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage.
    """
    does = _COMMANDS.get(arguments[0]) if arguments else None
    return run_and_print(lambda: does(arguments[1:]) if does else _make(arguments))


def run_and_print(command: Callable[[], dict[str, Any]]) -> int:
    """Print what a command did as JSON, or one line on why it could not; the exit status."""
    try:
        said = command()
    except (ValueError, OSError, ImportError) as error:  # a checkpoint may need a package of its own
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps(said, indent=1, ensure_ascii=False))
    return 0


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
    benchmark = read_benchmark(options.folder)
    card = benchmark.card
    said = {**benchmark.identity, "instances": card.num_instances, "identities": card.num_identities}
    if options.entry is None:
        return said
    return {**said, "entry": read_entry(options.entry, benchmark).to_json()}


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
