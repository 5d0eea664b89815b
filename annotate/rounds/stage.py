"""Sampling as a stage: a run makes the videos of a round, one model at a time."""

from __future__ import annotations

from typing import Any

from annotate.jobs.stages import Sharding, StageWork, register
from annotate.models import RoundKind, Run, Stage
from annotate.rounds.rounds import open_ready_pairs, rounds_sharing_videos
from annotate.rounds.sampling import (
    MAX_VIDEOS,
    queue_sampling,
    refused_in_samples,
    sampled,
    seconds_per_video,
    store_failure,
    store_samples,
)


def finish(run: Run, result: dict[str, Any]) -> None:
    if run.round:
        for round in (run.round, *rounds_sharing_videos(run.round)):
            open_ready_pairs(round)


def next_run(run: Run) -> Run | None:
    """After one model's videos of a comparison those of the other, and what one run would not hold."""
    if run.round is None:
        return None
    if run.round.kind != RoundKind.COMPARISON and not run.shards.filter(stop__gte=MAX_VIDEOS).exists():
        return None
    return queue_sampling(run.round, run.launched_by)


WORK = register(
    StageWork(
        name=Stage.SAMPLE,
        command="generator.sample",
        sharding=Sharding(
            parts="generator.resident",
            unit="videos",
            seconds=seconds_per_video,
            refusal=refused_in_samples,
            store=store_samples,
            is_stored_at_once=True,
            store_failure=store_failure,
            result=sampled,
        ),
        refusal=lambda run, request: refused_in_samples(run, request, 0),
        finish=finish,
        next_run=next_run,
    )
)
