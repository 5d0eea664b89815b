"""Sampling as a stage: a run makes the videos of a round, one model at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotate.jobs.stages import StageWork, register
from annotate.models import RoundKind, Run, Stage
from annotate.rounds.rounds import open_ready_pairs, rounds_sharing_videos
from annotate.rounds.sampling import queue_sampling, refused_in_samples, store_sample


def follow(run: Run, lines: Sequence[Mapping[str, Any]]) -> None:
    for values in lines:
        store_sample(run, str(values.get("sample_id", "")))
    if lines and run.round:
        open_ready_pairs(run.round)


def finish(run: Run, result: dict[str, Any]) -> None:
    for item in result["samples"]:
        store_sample(run, str(item["sample_id"]))
    for item in result.get("failed", []):
        store_sample(run, str(item["sample_id"]), error=item["error"])
    if run.round:
        for round in (run.round, *rounds_sharing_videos(run.round)):
            open_ready_pairs(round)


def next_run(run: Run) -> Run | None:
    """After one model's videos of a comparison, those of the other."""
    if run.round is None or run.round.kind != RoundKind.COMPARISON:
        return None
    return queue_sampling(run.round, run.launched_by)


WORK = register(
    StageWork(
        name=Stage.SAMPLE,
        command="generator.sample",
        refusal=refused_in_samples,
        follow=follow,
        finish=finish,
        next_run=next_run,
    )
)
