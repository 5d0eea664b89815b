"""Evaluation as a stage: models and metrics on the same inputs make a table."""

from __future__ import annotations

from typing import Any

from annotate.evaluation.consent import refused_in_request
from annotate.evaluation.tables import evaluation_tables
from annotate.jobs.shards import seconds_per_item
from annotate.jobs.stages import Sharding, StageWork, register
from annotate.models import Run, Shard, Stage
from annotate.rounds import sampling


def details(run: Run) -> dict[str, Any]:
    return {"evaluation": evaluation_tables(run) if run.result else None}


def seconds_per_video(run: Run) -> float | None:
    """By evaluations of like models, or else by what their videos took without being looked at."""
    assert run.round is not None
    like = Shard.objects.filter(
        run__stage=Stage.EVALUATE,
        run__round__sampler=run.round.sampler,
        run__round__policy__base_model=run.round.policy.base_model,
    )
    return seconds_per_item(like) or sampling.seconds_per_video(run)


WORK = register(
    StageWork(
        name=Stage.EVALUATE,
        command="rlhf.evaluate",
        sharding=Sharding(
            parts="rlhf.evaluation.parts",
            unit="videos",
            seconds=seconds_per_video,
            refusal=lambda run, request, start, stop: refused_in_request(run, request),
        ),
        refusal=refused_in_request,
        details=details,
    )
)
