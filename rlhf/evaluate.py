"""Measure models on the same inputs: `python -m rlhf.evaluate RUNDIR [--attached]`.

    request.json       {"stage": "evaluate", "settings": {...}, "seeds": [...],
                        "instances": [...] or "set": {"path": folder of a benchmark set},
                        "systems": {name: {"model": {...}} or {"videos": folder}},
                        "compare": [baseline, candidate], "reference": system, "metrics": [...],
                        "ablations": {system: name in the paper}}
    <system>/          <instance_id>-<seed>.mp4, the same seeds for all models
    scores/<system>/   <instance_id>-<seed>.json, what each metric says of a video
    metrics.jsonl      one line per video that is made, and one per video that is scored
    report.html        all of it for people, in one file that needs no network
    sheet.jpg          the compared models on the first people, from the same noise
    result.json        the table with intervals, differences, directions, every value and every hole

What cannot be made, read or measured is a hole with its reason; it is counted, and never a zero. A killed run
is resumed by the same command: finished videos and scores stay, whoever has made them. What parts of a run
could not make, as `unmade.json` says, is not tried again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from generator.model.precision import choose_precision
from generator.parts import forget_unmade, unmade_of
from generator.rundir import RunDir, run_command
from rlhf.evaluation import table
from rlhf.evaluation.columns import COMPARED_BY, Column
from rlhf.evaluation.measures import Measures, score
from rlhf.evaluation.paired import compare
from rlhf.evaluation.records import NOT_ASKED
from rlhf.evaluation.report.page import write_report
from rlhf.evaluation.report.sheet import write_sheet
from rlhf.evaluation.request import EvaluationRequest, instance_sha256, read_request
from rlhf.evaluation.score_files import score_file
from rlhf.evaluation.table import ScoredVideo
from rlhf.evaluation.videos import Wanted, videos_of
from rlhf.records import Track


def main(run: RunDir, attached: bool) -> None:
    """Sample, score, and put it into a table.

    Raises:
        RunError, ValueError: the request cannot be fulfilled at all; what fails in single videos is a hole.
    """
    with run.open(attached=attached) as item:
        if run.is_done:
            return
        began = time.monotonic()
        request = read_request(run, item)
        measures = Measures.of(request)  # before hours of sampling, not after them
        progress = Progress(run, request)
        unmade = {(one["system"], one["sample_id"]): one["error"] for one in unmade_of(run)}
        wanted = [
            video
            for system in request.systems
            for video in videos_of(run, request, system, progress.note, unmade=unmade)
        ]
        asked = {
            instance.instance_id: instance_sha256(instance, run.resolve) for instance in request.instances
        }
        videos = [progress.score(video, asked[video.instance.instance_id], measures) for video in wanted]
        result = {
            **tables(request, videos, measures.columns),
            "metrics": [facts.to_json() for _, facts in measures.ready.values()],
            "videos": [_video(run, *pair) for pair in zip(wanted, videos, strict=True)],
            "failed": [
                {"system": video.system.name, "sample_id": video.name, "error": video.why}
                for video in wanted
                if video.path is None
            ],
            **({"oracle": dict(measures.trust)} if measures.trust else {}),
            "precision": choose_precision(exact=True).to_json(),
            "seconds": round(time.monotonic() - began, 1),
        }
        write_report(run.path, result)
        write_sheet(run, request, result)
        forget_unmade(run)
        run.write_result(result)


class Progress:
    """One line for each video that is made, and one for each that is looked at."""

    def __init__(self, run: RunDir, request: EvaluationRequest) -> None:
        """Begin anew: a resumed run writes the lines of finished videos again."""
        each = len(request.instances) * len(request.seeds)
        sampled = sum(system.model is not None for system in request.systems)
        self.run, self.done, self.total = run, 0, each * (sampled + len(request.systems))
        run.truncate_metrics(lambda line: False)

    def note(self, system: str, sample_id: str, seconds: float, what: str = "made") -> None:
        """Say that a video was made or looked at."""
        self.done += 1
        line = {"system": system, "sample_id": sample_id, "what": what, "seconds": round(seconds, 3)}
        self.run.append_metrics({**line, "done": self.done, "total": self.total})

    def score(self, video: Wanted, asked_sha256: str, measures: Measures) -> ScoredVideo:
        """What all metrics say of a video; raises as they do."""
        began = time.monotonic()
        scored = score(self.run, video, asked_sha256, measures)
        self.note(video.system.name, video.name, time.monotonic() - began, "scored")
        return scored


def tables(
    request: EvaluationRequest, videos: Sequence[ScoredVideo], columns: Sequence[Column]
) -> dict[str, Any]:
    """Everything of the result that follows from scores alone."""
    columns = [column for column in columns if column.unit == "share"]
    gained = table.differences(videos, columns, request.reference) if request.reference else {}
    return {
        "set": {
            "name": request.set_name,
            "sha256": request.set_sha256,
            "num_instances": len(request.instances),
            "num_identities": len({video.identity for video in videos}),
            "seeds": list(request.seeds),
        },
        "systems": {system.name: system.to_json() for system in request.systems},
        "settings": asdict(request.settings) if request.settings else None,
        "compare": list(request.compare) if request.compare else None,
        "reference": request.reference,
        "columns": [column.to_json() for column in columns],
        "table": table.summary(videos, columns),
        "differences": gained,
        "directions": table.directions(gained, request.ablations, columns),
        **_headline(request, videos),
        "holes": [
            {"system": v.system, "instance_id": v.instance_id, "seed": v.seed, "column": column, "why": why}
            for v in videos
            for column, why in v.holes.items()
            if not why.startswith(NOT_ASKED)
        ],
    }


def _headline(request: EvaluationRequest, videos: Sequence[ScoredVideo]) -> dict[str, Any]:
    """The candidate against the baseline on each track, where both have videos."""
    if request.compare is None:
        return {}
    found = {}
    for track in Track:
        for column in COMPARED_BY[track]:
            pair = table.paired(videos, column, *request.compare)
            if pair[0]:
                found[str(track)] = {**compare(*pair).to_json(), "score": column}
                break
    return found


def _video(run: RunDir, wanted: Wanted, scored: ScoredVideo) -> dict[str, Any]:
    there = wanted.path is not None
    return {
        "system": scored.system,
        "instance_id": scored.instance_id,
        "identity": scored.identity,
        "seed": scored.seed,
        "path": run.relative(wanted.path) if wanted.path else None,
        "values": {column: round(value, table.DECIMALS) for column, value in scored.values.items()},
        "holes": dict(scored.holes),
        "details": run.relative(score_file(run, wanted)) if there else None,
    }


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
