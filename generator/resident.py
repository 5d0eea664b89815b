"""Videos of `generator.sample`, a part of a run after another with one model: see `generator.parts`."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.parts import Item, serve
from generator.rundir import RunDir

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

#: What a finished video consists of, in the order in which it is stored.
FOLDERS = ("shown", "samples")


def items(request: Mapping[str, Any], run: RunDir) -> list[Item]:
    """A video each. The two of a pair are made together: they have equal references and prompt."""
    alike = itertools.groupby(request["samples"], key=lambda sample: (sample["references"], sample["prompt"]))
    return [
        Item(
            str(sample["sample_id"]),
            (asked, place // 2),
            tuple(f"{folder}/{sample['sample_id']}.mp4" for folder in FOLDERS),
        )
        for asked, samples in alike
        for place, sample in enumerate(samples)
    ]


def part(request: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    """The request for these videos alone."""
    names = {item.name for item in items}
    return {**request, "samples": [item for item in request["samples"] if str(item["sample_id"]) in names]}


def loaded(part: Mapping[str, Any]) -> str:
    """The model's weights."""
    return json.dumps(part["model"], sort_keys=True)


def finished(line: Mapping[str, Any]) -> str | None:
    """A line is a finished video."""
    return str(line["sample_id"])


def main() -> int:
    """Make videos with one model, which the first folder that needs it loads."""
    from generator import sample

    pipeline: AnyIDPipeline | None = None

    def make(run: RunDir) -> None:
        request = run.read_request()

        def load() -> AnyIDPipeline:
            nonlocal pipeline
            pipeline = pipeline or sample.load_model(run, request["model"])
            return pipeline

        sample.make(run, request, load)

    return serve(make)


if __name__ == "__main__":
    sys.exit(main())
