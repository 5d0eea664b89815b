"""Reads for leads: versions of models, what each came from, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotate.core.access import visible_runs
from annotate.exports.queries import votes_in
from annotate.models import (
    Export,
    ModelState,
    ModelVersion,
    Round,
    RoundKind,
    Run,
    RunStatus,
    Stage,
    Subject,
    User,
    VersionComparison,
)
from annotate.tallies.queries import counts_of, kept_count


def visible_versions(user: User) -> QuerySet[ModelVersion]:
    """Versions are the leads' business: an annotator who knew them would not be blind."""
    versions = ModelVersion.objects.select_related(
        "parent", "root", "export__round", "run__round", "run__training_set"
    )
    return versions if user.is_lead else versions.none()


def registry(user: User) -> QuerySet[ModelVersion]:
    """All versions, a lineage after the other, the newest lineage first, each from its root on."""
    rounds = Round.objects.filter(policy=OuterRef("pk"), kind=RoundKind.PREFERENCE)
    return (
        visible_versions(user)
        .annotate(
            lineage=Coalesce("root", "id"),
            num_samples=kept_count(Subject.VERSION, "samples"),
            num_rounds=_number_of(rounds, "policy"),
        )
        .order_by("-lineage", "id")
    )


def usable_versions(user: User) -> QuerySet[ModelVersion]:
    """Those that something may start from, the newest first."""
    return visible_versions(user).exclude(state=ModelState.ARCHIVED).order_by("-id")


def adapters_on(base: ModelVersion) -> QuerySet[ModelVersion]:
    """Versions of a base's lineage that have an adapter of their own, in the order of their making."""
    return ModelVersion.objects.filter(root=base).exclude(adapter_path="").order_by("id")


def recent_registrations(user: User, limit: int = 10) -> QuerySet[Run]:
    return visible_runs(user).filter(stage=Stage.REGISTER).order_by("-id")[:limit]


def version_found_by(run: Run) -> ModelVersion | None:
    """What a finished registration made, or found to be registered already."""
    if not run.result:
        return None
    same = ModelVersion.objects.filter(weights_sha256=run.result["weights_sha256"], parent=run.policy)
    if run.policy is None:
        same = same.filter(base_model=run.result["base"])
    return same.order_by("id").first()


def _number_of(rows: QuerySet[Any], column: str) -> Any:
    counted = rows.order_by().values(column).annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number"), output_field=IntegerField()), 0)


def uses_of(version: ModelVersion) -> list[dict[str, Any]]:
    """Samples, votes, exports and further versions of every round that started from this one."""
    rounds = list(version.rounds.filter(kind=RoundKind.PREFERENCE).order_by("id"))
    counts = counts_of(Subject.ROUND, [round.pk for round in rounds])
    votes, exports, children = votes_in(rounds), defaultdict(list), defaultdict(list)
    for export in Export.objects.filter(round__in=rounds).order_by("id"):
        exports[export.round_id].append(export)
    for child in version.children.filter(run__round__in=rounds).select_related("run").order_by("id"):
        assert child.run is not None
        children[child.run.round_id].append(child)
    return [
        {
            "round": round,
            "num_samples": counts[round.pk]["samples_made"],
            "num_pairs": counts[round.pk]["pairs"],
            "votes": votes[round.pk],
            "exports": exports[round.pk],
            "children": children[round.pk],
        }
        for round in rounds
    ]


def evaluations_of(version: ModelVersion) -> QuerySet[Run]:
    """Finished comparisons of a version with its parent, the newest first."""
    done = Run.objects.filter(candidate=version, stage=Stage.EVALUATE, status=RunStatus.DONE)
    return done.select_related("round").order_by("-id")


def visible_comparisons(user: User) -> QuerySet[VersionComparison]:
    named = ("run__round", "run__launched_by", "baseline", "candidate")
    comparisons = VersionComparison.objects.select_related(*named)
    comparisons = comparisons.annotate(num_instances=Count("instances")).order_by("-id")
    return comparisons if user.is_lead else comparisons.none()


def comparisons_with(user: User, version: ModelVersion) -> QuerySet[VersionComparison]:
    return visible_comparisons(user).filter(Q(baseline=version) | Q(candidate=version))
