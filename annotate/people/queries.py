"""Reads of curation: which references may be used, how far they are, and what people decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from math import nan
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import (
    Count,
    Exists,
    F,
    FloatField,
    Func,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from annotate.database.column_queries import read_columns
from annotate.database.statements import rows
from annotate.models import (
    AppliedThresholds,
    Choice,
    Curation,
    CurationDecision,
    IdentityGroup,
    Instance,
    Reference,
    Run,
    RunMetric,
    Split,
    Stage,
    Use,
    User,
)
from annotate.privacy.consent_queries import Consent, given, with_consent
from annotate.storage.opening import site_storage
from annotate.tallies.queries import counts_of_site
from generator.curation.annotation import ANNOTATION_NAME, ClipAnnotation, load_annotation
from generator.curation.explanation import explain
from generator.curation.filters import MeasureColumns, Measures, Thresholds, percentiles
from generator.curation.primary import PrimaryRating, rate_primary
from generator.media.formats import RejectReason
from generator.prompts.differential import make_prompt


def with_choice(references: QuerySet[Reference]) -> QuerySet[Reference]:
    """References with `choice`: what a person said of them last, `automatic` where nobody did."""
    newest = CurationDecision.objects.filter(reference=OuterRef("pk")).order_by("-id")
    said = Subquery(newest.values("choice")[:1])
    return references.annotate(choice=Coalesce(said, Value(str(Choice.AUTOMATIC))))


def accepted(references: QuerySet[Reference]) -> QuerySet[Reference]:
    """Kept: by hand first, else curated without a reason against it."""
    newer = CurationDecision.objects.filter(reference=OuterRef("reference"), pk__gt=OuterRef("pk"))
    newest = CurationDecision.objects.filter(~Exists(newer)).exclude(choice=Choice.AUTOMATIC)
    by_hand = Q(pk__in=newest.values("reference"))
    kept = Q(pk__in=newest.filter(choice=Choice.KEEP).values("reference"))
    return with_choice(references).filter(
        kept | Q(curation=Curation.DONE, reject_reasons=[]) & ~by_hand,
    )


def usable_references(*wanted: Use) -> QuerySet[Reference]:
    """Accepted references of people who agreed to all that is wanted; without any, to something.

    Instances, tracks and datasets ask here and nowhere else, so that they cannot disagree.
    """
    return accepted(Reference.objects.filter(given("group", *wanted)))


def thresholds_now() -> Thresholds:
    """Those that a lead applied last, else those of the settings."""
    applied = AppliedThresholds.objects.last()
    return Thresholds(**applied.values) if applied else settings.THRESHOLDS


def annotation_path(reference: Reference) -> str:
    """What detectors saw of it, beside its media."""
    return str(Path(reference.path).with_name(ANNOTATION_NAME))


def read_annotation(reference: Reference) -> ClipAnnotation | None:
    try:
        with site_storage().local(annotation_path(reference)) as record:
            return load_annotation(record)
    except FileNotFoundError:
        return None


def measures_of(reference: Reference) -> Measures | None:
    measures = reference.quality.get("measures")
    return Measures(**measures) if measures else None


def rating_of(reference: Reference) -> PrimaryRating | None:
    measures = measures_of(reference)
    return rate_primary(measures, reference.modality) if measures else None


def primary_of(group: IdentityGroup) -> Reference | None:
    """The primary reference: the chosen one while it is usable, else the best rated; None without any.

    Of drawn people every view is equally good, so only a chosen one counts.
    """
    return primary_among(list(usable_references().filter(group=group)), group)


def primary_among(usable: Sequence[Reference], group: IdentityGroup) -> Reference | None:
    """The same, of usable references that were read already."""
    chosen = [reference for reference in usable if reference.pk == group.primary_id]
    if chosen or group.is_synthetic:
        return chosen[0] if chosen else None
    return best_rated(usable)


def best_rated(references: Iterable[Reference]) -> Reference | None:
    """The highest score; the earliest of equals."""
    rated = [(rating.score, item) for item in references if (rating := rating_of(item)) is not None]
    return max(rated, key=lambda pair: (pair[0], -pair[1].pk))[1] if rated else None


@dataclass(frozen=True)
class PeopleFilter:
    """What the grid of people is narrowed to; an empty value narrows nothing."""

    state: str = ""
    reason: str = ""
    split: str = ""
    consent: str = ""
    search: str = ""

    @classmethod
    def from_query(cls, query: dict[str, str]) -> PeopleFilter:
        """Unknown values narrow nothing, so that an old bookmark still opens."""
        known = {
            "state": (*Curation.values, "unusable"),
            "reason": tuple(RejectReason),
            "split": Split.values,
            "consent": (*Use.values, *(f"no-{use}" for use in Use.values), *Consent.values),
        }
        chosen = {name: query[name] for name in known if query.get(name) in known[name]}
        return cls(search=query.get("search", "").strip()[:200].replace("\0", ""), **chosen)


def people(narrow: PeopleFilter = PeopleFilter()) -> QuerySet[IdentityGroup]:
    """Those that the grid is narrowed to."""
    groups = with_consent(IdentityGroup.objects.all())
    if narrow.split:
        groups = groups.filter(split=narrow.split)
    if narrow.search:
        columns = ("name", "source", "pseudonym")
        groups = groups.filter(reduce(or_, (Q(**{f"{name}__icontains": narrow.search}) for name in columns)))
    if narrow.consent:
        groups = groups.filter(_of_consent(narrow.consent))
    if narrow.state == "unusable":
        groups = groups.filter(~Exists(usable_references().filter(group=OuterRef("pk"))))
    elif narrow.state:
        groups = groups.filter(_has(curation=narrow.state))
    if narrow.reason:
        groups = groups.filter(_has(reject_reasons__contains=[narrow.reason]))
    narrowed: QuerySet[IdentityGroup] = groups
    return narrowed


def shown_in_grid(people: Iterable[int]) -> QuerySet[IdentityGroup]:
    """Those of a page, with their references and how many of them are usable."""
    theirs = Reference.objects.filter(group=OuterRef("pk"))
    usable = usable_references().filter(group=OuterRef("pk"))
    shown: QuerySet[IdentityGroup] = (
        with_consent(IdentityGroup.objects.filter(pk__in=list(people)))
        .annotate(num_references=_number(theirs), num_usable=_number(usable))
        .prefetch_related(Prefetch("references", with_choice(Reference.objects.all())))
        .order_by("name", "id")
    )
    return shown


def _number(references: QuerySet[Reference]) -> Subquery:
    counted = references.order_by().annotate(number=Func(F("id"), function="count"))
    return Subquery(counted.values("number"))


def _of_consent(wanted: str) -> Q:
    """A use that people agreed to, one that they did not (`no-train`), or how their consent stands."""
    if wanted in Consent.values:
        return Q(consent=wanted)
    use = Use(wanted.removeprefix("no-"))
    return Q(given("", use)) if wanted == use else ~Q(given("", use))


def _has(**condition: Any) -> Exists:
    return Exists(Reference.objects.filter(group=OuterRef("pk"), **condition))


def curation_counts() -> dict[str, Any]:
    """How many references are in each state, usable, and left out for each reason."""
    counts = counts_of_site()
    states = {state: counts[f"references.{state}"] for state in Curation.values}
    rejected = {str(reason): counts[f"rejected.{reason}"] for reason in RejectReason}
    return {
        "people": counts["people"],
        "total": sum(states.values()),
        "states": states,
        "usable": counts["usable"],
        "by_hand": counts["by_hand"],
        "reasons": {reason: number for reason, number in rejected.items() if number},
        "is_live": bool(states[Curation.PENDING] or states[Curation.RUNNING]),
        "examined": states[Curation.DONE] + states[Curation.FAILED],
    }


def visible_people(user: User) -> QuerySet[IdentityGroup]:
    groups = with_consent(IdentityGroup.objects.select_related("primary", "consent_stated_by"))
    return groups if user.is_lead else groups.none()


_NEWS = """
SELECT md5(string_agg(concat_ws(' ', r.id, r.curation,
    (SELECT max(id) FROM annotate_curationdecision WHERE reference_id = r.id)), ',' ORDER BY r.id))
FROM annotate_reference r WHERE r.group_id = %s
"""


def news_of(group_id: int) -> str:
    """What changes while a person's references are curated, in one statement."""
    return str(rows(_NEWS, [group_id])[0][0] or "")


def references_of(group: IdentityGroup) -> QuerySet[Reference]:
    """Every reference of a person with what people decided, the newest decision first."""
    newest_first = CurationDecision.objects.select_related("author").order_by("-id")
    references = with_choice(group.references.all())
    return references.prefetch_related(Prefetch("decisions", newest_first))


def visible_instances(user: User) -> QuerySet[Instance]:
    instances = Instance.objects.select_related("group", "prompt__author", "prompt__superseded_by")
    return instances if user.is_lead else instances.none()


def prompt_runs() -> QuerySet[Run]:
    return Run.objects.filter(stage=Stage.PROMPTS).order_by("-id")


def num_instances_of(runs: Iterable[Run]) -> dict[int, int]:
    """How many instances came of the prompts that each run has announced."""
    announced = RunMetric.objects.filter(run__in=runs).annotate(digest=KT("values__pair_id")).order_by()
    came = announced.filter(Exists(Instance.objects.filter(digest=OuterRef("digest"))))
    return dict(came.values_list("run").annotate(number=Count("digest", distinct=True)))


def all_measures() -> MeasureColumns:
    """Of every curated reference of a real person, for the what-if table; sharpness with its place."""
    curated = Reference.objects.filter(curation=Curation.DONE, group__truth__isnull=True)
    measured = curated.filter(quality__has_key="measures").order_by()
    names = [column.name for column in fields(MeasureColumns) if column.name != "blur_percentile"]
    values = [Coalesce(Cast(KT(f"quality__measures__{name}"), FloatField()), nan) for name in names]
    read = read_columns(measured.values_list(*values), dict.fromkeys(names, "float64"))
    ranks = np.full(len(read["blur"]), nan)
    known = ~np.isnan(read["blur"])
    ranks[known] = percentiles(read["blur"][known].tolist())
    return MeasureColumns(**read, blur_percentile=ranks)


def open_references(people: Iterable[int]) -> QuerySet[Reference]:
    """References of these people that are waited for."""
    return Reference.objects.filter(group__in=list(people), curation__in=[Curation.PENDING, Curation.RUNNING])


def outcome_of(people: Iterable[int]) -> dict[str, Any]:
    """What became of these people's references: kept, why not, and a line for each that is not used."""
    theirs = Reference.objects.filter(group__in=list(people)).select_related("group")
    kept = accepted(theirs).order_by()
    failed = theirs.filter(curation=Curation.FAILED)
    left_out = theirs.exclude(reject_reasons=[]).exclude(pk__in=kept.values("pk"))
    limits = thresholds_now()
    return {
        "kept": kept.count(),
        "reasons": Counter(reason for item in left_out for reason in item.reject_reasons),
        "failed": failed.count(),
        "rejected": [
            f"{item}: {', '.join(item.reject_reasons)}: {' '.join(why_not(item, limits))}"
            for item in left_out
        ]
        + [f"{item}: failed: {item.curation_error}" for item in failed],
    }


def why_not(reference: Reference, thresholds: Thresholds) -> list[str]:
    """The filters' reasons against a reference, in sentences."""
    measures = measures_of(reference)
    if measures is None:
        return []
    return [explain(RejectReason(reason), measures, thresholds) for reason in reference.reject_reasons]


def edited_copy(instance: Instance) -> Instance | None:
    """Where the prompt of an instance with videos was edited: the copy that has the newer one."""
    return Instance.objects.filter(prompt__supersedes=instance.prompt_id).first()


def statements_of(instance: Instance) -> tuple[str, ...]:
    """A sentence a change; where a lead wrote the text anew, that text, since it is what the model read."""
    prompt = instance.prompt
    statements = {item["element"]: item["statement"] for item in prompt.elements if item["changed"]}
    return tuple(statements.values()) if make_prompt(statements) == prompt.text else (prompt.text,)
