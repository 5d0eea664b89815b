"""How far runs are, and which of them count."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet, Sum

from annotate.database.statements import rows
from annotate.models import LIVE, Round, Run, RunMetric, RunStatus, Shard, Stage
from rlhf.evaluation.stored import in_current_keys


def done_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status=RunStatus.DONE).last()


def done_evaluation(round: Round) -> Run | None:
    """The newest finished comparison of what the round tuned; ablations before that compare nothing."""
    return round.runs.filter(stage=Stage.EVALUATE, status=RunStatus.DONE).exclude(candidate=None).last()


def other_comparisons(round: Round) -> list[Run]:
    """Finished comparisons of two models at other settings of the sampler than the round's own evaluation."""
    return [run for run in _comparisons(round) if (run.result or {}).get("settings") != round.sampler]


def comparison_with_start(round: Round) -> Run | None:
    """What a round that follows others has tuned, beside the model before any votes, in its own settings.

    None where that was not compared on all held-out people, and of a first round, whose evaluation says it.
    """
    start = round.policy.before_votes
    if start == round.policy:
        return None
    found = [run for run in _comparisons(round) if (run.result or {}).get("settings") == round.sampler]
    labels = [(run, in_current_keys(run.result or {})["systems"]["baseline"]["label"]) for run in found]
    return next((run for run, label in reversed(labels) if label == start.name), None)


def _comparisons(round: Round) -> list[Run]:
    """Of two models on held-out people, beside the evaluation of what the round tuned; no chosen inputs."""
    done = round.runs.filter(stage=Stage.EVALUATE, status=RunStatus.DONE, candidate=None)
    return [
        run
        for run in done.filter(version_comparison=None).order_by("id")
        if (run.result or {}).get("compare")
    ]


def live_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status__in=[*LIVE]).last()


def dpo_curves(run: Run) -> list[dict[str, Any]]:
    """The training curve, one row per step; a resumed run repeats no step."""
    steps = {line["step"]: line for line in run.metrics.values_list("values", flat=True) if "step" in line}
    return [steps[step] for step in sorted(steps)]


def run_progress(run: Run) -> dict[str, Any]:
    return progress_of([run])[run.pk]


def progress_of(runs: Collection[Run]) -> dict[int, dict[str, Any]]:
    """How far each run is, by its shards, or else by the last line of its metrics."""
    shards = Shard.objects.filter(run__in=runs).order_by().values_list("run")
    sums = shards.annotate(done=Sum("made"), total=Sum(F("stop") - F("start")))
    of_shards = {run: {"done": done, "total": total, "last": {}} for run, done, total in sums}
    newest = RunMetric.objects.filter(run=OuterRef("pk")).exclude(values={}).order_by("-line")
    last = Run.objects.filter(pk__in=[run.pk for run in runs]).annotate(last=newest.values("values")[:1])
    lines = dict(last.values_list("pk", "last"))
    return {run.pk: of_shards.get(run.pk) or _progress(lines.get(run.pk) or {}) for run in runs}


def _progress(last: dict[str, Any]) -> dict[str, Any]:
    done = last.get("done", last.get("step"))
    return {"done": done, "total": last.get("total", last.get("steps")), "last": last}


_NEWS = """
SELECT md5(string_agg(concat_ws(' ', u.id, u.status, u.heartbeat_at,
    (extract(epoch FROM statement_timestamp() - u.heartbeat_at) / 60)::int,
    (SELECT max(line) FROM annotate_runmetric WHERE run_id = u.id),
    (SELECT concat_ws(' ', count(*), sum(made), max(heartbeat_at), max(sent_at), max(ended_at))
     FROM annotate_shard WHERE run_id = u.id)), ',' ORDER BY u.id))
FROM annotate_run u WHERE {which}
"""


def news_of_run(run_id: int) -> str:
    """What changes with everything that pages tell of a run under way, in one statement; or each minute."""
    return str(rows(_NEWS.format(which="u.id = %s"), [run_id])[0][0] or "")


def news_of_stage(stage: Stage) -> str:
    """The same of all runs of a stage."""
    return str(rows(_NEWS.format(which="u.stage = %s"), [stage.value])[0][0] or "")


def stuck_runs(round: Round) -> QuerySet[Run]:
    """Failed or cancelled runs of stages that never came to an end; of evaluations only its own model's."""
    mine = Run.objects.exclude(stage=Stage.EVALUATE, candidate=None)
    done = mine.filter(round=OuterRef("round"), stage=OuterRef("stage"), status=RunStatus.DONE)
    ended = mine.filter(round=round, status__in=[RunStatus.FAILED, RunStatus.CANCELLED])
    return ended.filter(~Exists(done)).order_by("id")
