"""Prompts of `generator.prompts`, a part of a run after another with the same models: see `generator.parts`.

A medium is described once in a run, so pairs that share one are never cut apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from generator.parts import Item, serve
from generator.prompts.plan import read_plan
from generator.prompts.progress import PartProgress, description_file, prompt_file, transcript_file
from generator.prompts.run import work
from generator.rundir import RunDir


def items(request: Mapping[str, Any], run: RunDir) -> list[Item]:
    """A prompt each, with the descriptions that it rests on."""
    pairs = request["pairs"]
    last = {pair[role]: place for place, pair in enumerate(pairs) for role in ("primary", "target")}
    found, batch, reach = [], 0, 0
    for place, pair in enumerate(pairs):
        media = (pair["primary"], pair["target"])
        if place > reach:
            batch = place
        reach = max(reach, *(last[medium] for medium in media))
        besides = (*map(description_file, media), transcript_file(pair["pair_id"]))
        found.append(Item(pair["pair_id"], batch, (prompt_file(pair["pair_id"]),), besides))
    return found


def part(request: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    """The request for these prompts alone."""
    names = {item.name for item in items}
    pairs = [pair for pair in request["pairs"] if pair["pair_id"] in names]
    shown = {pair[role] for pair in pairs for role in ("primary", "target")}
    return {
        **request,
        "pairs": pairs,
        "media": {name: path for name, path in request["media"].items() if name in shown},
    }


def loaded(part: Mapping[str, Any]) -> str:
    """Whoever describes and compares, where that is a model of this machine."""
    return json.dumps([part["describer"], part.get("comparer")], sort_keys=True)


def finished(line: Mapping[str, Any]) -> str | None:
    """A line is a finished prompt, or a description."""
    return line.get("pair_id")


def make(run: RunDir, models: dict[str, Any]) -> None:
    """Ask for the prompts of a part.

    Args:
        run: its folder.
        models: what is in memory, by its part of the request, and stays there.
    """
    plan = read_plan(run.read_request(), run.resolve)
    progress = PartProgress(run, len(plan.pairs))
    progress.restore(plan.pairs)
    work(plan, progress, models)
    unmade = [{"pair_id": pair, "why": why} for pair, why in progress.unmade.items()]
    run.write_result({"failed": unmade})


def main() -> int:
    """Make parts; models of this machine stay in memory."""
    models: dict[str, Any] = {}
    return serve(lambda run: make(run, models))


if __name__ == "__main__":
    sys.exit(main())
