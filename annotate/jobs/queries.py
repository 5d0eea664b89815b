"""How far runs are, and which of them count."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet, Sum

from annotate.models import LIVE, Round, Run, RunStatus, Stage


def done_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status=RunStatus.DONE).last()


def done_evaluation(round: Round) -> Run | None:
    """The newest finished comparison of what the round tuned; ablations before that compare nothing."""
    return round.runs.filter(stage=Stage.EVALUATE, status=RunStatus.DONE).exclude(candidate=None).last()


def live_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status__in=[*LIVE]).last()


def dpo_curves(run: Run) -> list[dict[str, Any]]:
    """The training curve, a row a step; a resumed run repeats no step."""
    steps = {line["step"]: line for line in run.metrics.values_list("values", flat=True) if "step" in line}
    return [steps[step] for step in sorted(steps)]


def run_progress(run: Run) -> dict[str, Any]:
    of_shards = run.shards.aggregate(done=Sum("made"), total=Sum(F("stop") - F("start")))
    if of_shards["total"] is not None:
        return {**of_shards, "last": {}}
    last = run.metrics.exclude(values={}).order_by("-line").values_list("values", flat=True).first() or {}
    done = last.get("done", last.get("step"))
    return {"done": done, "total": last.get("total", last.get("steps")), "last": last}


def stuck_runs(round: Round) -> QuerySet[Run]:
    """Failed or cancelled runs of stages that never came to an end; of evaluations only its own model's."""
    mine = Run.objects.exclude(stage=Stage.EVALUATE, candidate=None)
    done = mine.filter(round=OuterRef("round"), stage=OuterRef("stage"), status=RunStatus.DONE)
    ended = mine.filter(round=round, status__in=[RunStatus.FAILED, RunStatus.CANCELLED])
    return ended.filter(~Exists(done)).order_by("id")
