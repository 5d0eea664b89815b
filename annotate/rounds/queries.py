"""Reads of rounds, their models, and the people and inputs that they are about."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min, Q, QuerySet

from annotate.jobs.queries import comparison_with_start, done_evaluation, done_run, other_comparisons
from annotate.models import (
    Instance,
    ModelVersion,
    Round,
    RoundKind,
    Split,
    Stage,
    Use,
    VideoPair,
    VideoSample,
)
from annotate.privacy.consent_queries import given, uses_of
from annotate.rounds.funnel_queries import Funnel, round_funnel
from rlhf.evaluation.report.tables import fault_rates
from rlhf.evaluation.stored import in_current_keys
from rlhf.records import JointState, Track

#: Pairs that a round's page shows.
MAX_SIDE_BY_SIDE = 6


def instances_of_split(split: str, source: str | None = None) -> QuerySet[Instance]:
    instances = Instance.objects.filter(group__split=split).select_related("group", "prompt")
    return instances.filter(group__source=source) if source else instances


def find_round(name: str | None) -> Round | None:
    """A round by name or number; without a name the newest open one that is no comparison."""
    rounds = Round.objects.select_related("policy")
    if name is None:
        return rounds.filter(is_open=True, kind=RoundKind.PREFERENCE).last()
    return rounds.filter(name=name).first() or (
        rounds.filter(pk=int(name)).first() if name.isdecimal() else None
    )


def find_model(name: str | None) -> ModelVersion | None:
    """A model version by name; without a name the newest one, from which the next round starts."""
    versions = ModelVersion.objects.order_by("-id")
    return (versions if name is None else versions.filter(name=name)).first()


def model_names() -> str:
    return ", ".join(ModelVersion.objects.values_list("name", flat=True)) or "none yet"


def missing_samples(
    round: Round, *, include_failed: bool, include_refused: bool = False
) -> QuerySet[VideoSample]:
    """The round's videos that are not made yet, the two of an instance next to each other.

    Those of people who did not agree to what the round does are left out unless they are asked for, too.
    """
    missing = VideoSample.objects.filter(_shown_in(round), path="")
    if not include_failed:
        missing = missing.filter(error="")
    if not include_refused:
        missing = missing.filter(given("instance__group", *uses_of(round)))
    return missing.select_related("instance__prompt").order_by("instance_id", "id")


def _shown_in(round: Round) -> Q:
    """Two sets that are hashed once; one condition with both would be looked up for every video there is."""
    pairs = VideoPair.objects.filter(round=round)
    return Q(pk__in=pairs.values("first")) | Q(pk__in=pairs.values("second"))


def failed_videos(round: Round) -> list[dict[str, Any]]:
    """Why videos of a round could not be made, and how many each: the most frequent reasons."""
    failed = VideoSample.objects.filter(_shown_in(round), path="").exclude(error="")
    counted = (
        failed.order_by()
        .values("error")
        .annotate(
            number=Count("id"), instance=Min("instance_id"), instances=Count("instance_id", distinct=True)
        )
    )
    return [dict(row) for row in counted.order_by("-number", "error")[:5]]


def pairs_side_by_side(round: Round, funnel: Funnel) -> list[VideoPair]:
    """Finished pairs to show: dominant ones while there are any, else the first ones."""
    made = round.pairs.filter(gold_verdicts__isnull=True).exclude(first__path="").exclude(second__path="")
    made = made.select_related("first", "second", "instance__group", "instance__prompt", "preference")
    dominant = made.filter(preference__joint_state=JointState.DOMINANT).order_by("preference__id")
    found = list(dominant[:MAX_SIDE_BY_SIDE]) if funnel.dominant else []
    others = made.exclude(pk__in=[pair.pk for pair in found]).order_by("id")
    return found + list(others[: MAX_SIDE_BY_SIDE - len(found)])


def is_synthetic(round: Round) -> bool:
    """Whether every person of the round comes from an embedded world, whose truth is known."""
    return not round.pairs.filter(instance__group__truth__isnull=True).exists()


def held_out_instances() -> QuerySet[Instance]:
    """What a tuned model is evaluated on: held-out people of known truth who agreed to it."""
    held_out = instances_of_split(Split.EVAL).filter(group__truth__isnull=False)
    return held_out.filter(given("group", Use.EVALUATE))


def root_model() -> ModelVersion | None:
    """The newest imported model: the one that training here started from."""
    return ModelVersion.objects.filter(parent=None).order_by("-id").first()


def round_report(round: Round) -> dict[str, Any]:
    """The figures of a finished round, as `report.json` holds them."""
    funnel = round_funnel(round).to_json()
    dpo, evaluation = done_run(round, Stage.DPO), done_evaluation(round)
    return {
        "round": round.name,
        **{name: funnel[name] for name in ("instances", "samples", "pairs", "judgments", "joint_states")},
        "exported_pairs": funnel["exported_pairs"],
        "dpo": {name: dpo.result[name] for name in ("first_loss", "last_loss", "accuracy", "steps")}
        if dpo and dpo.result
        else {},
        "policy": round.policy.name,
        **_evaluation_report(evaluation.result if evaluation else None),
        "evaluation_folder": evaluation.folder if evaluation else None,
        "in_use": [
            {"settings": run.result["settings"], "folder": run.folder, **_evaluation_report(run.result)}
            for run in other_comparisons(round)
            if run.result
        ],
        "against_start": _against_start(round),
    }


def _against_start(round: Round) -> dict[str, Any] | None:
    run = comparison_with_start(round)
    if run is None:
        return None
    return {
        "baseline": round.policy.before_votes.name,
        "folder": run.folder,
        **_evaluation_report(run.result),
    }


def _evaluation_report(result: dict[str, Any] | None) -> dict[str, Any]:
    """Each track that could be compared, and the whole table with all that a reader of it needs."""
    told = in_current_keys(result or {})
    tracks = {
        str(track): {name: told[track][name] for name in told[track] if name != "interval"}
        for track in Track
        if track in told
    }
    names = ("columns", "systems", "reference", "table")
    return {
        "evaluation": tracks,
        "faults": fault_rates(told),
        "evaluation_table": {name: told[name] for name in names if name in told},
    }
