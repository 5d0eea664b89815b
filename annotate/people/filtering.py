"""The filters' word on references, from what is stored of them: nothing is detected again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db import transaction

from annotate.core.audit import record_event
from annotate.database.batches import BATCH, batches
from annotate.models import AppliedThresholds, Curation, IdentityGroup, Reference, User
from annotate.people.queries import measures_of, thresholds_now
from generator.curation.duplicates import find_duplicates
from generator.curation.filters import Thresholds, judge, percentiles
from generator.media.formats import RejectReason

#: Who are read, judged and written together.
PEOPLE_AT_A_TIME = 200


def judge_people(
    groups: Sequence[IdentityGroup],
    thresholds: Thresholds | None = None,
    ranks: Mapping[int, float] | None = None,
) -> int:
    """Give each curated reference of people, whose rows are locked, its reasons; how many got other ones.

    All of a person at once, so that the result does not depend on the order in which they were curated. Drawn
    people keep all of theirs: the filters know real faces only.
    """
    thresholds = thresholds or thresholds_now()
    ranks = blur_ranks(thresholds) if ranks is None else ranks
    curated = Reference.objects.filter(group__in=groups, curation=Curation.DONE).order_by("group_id", "id")
    synthetic = {group.pk for group in groups if group.is_synthetic}
    changed = []
    for person, of_person in groupby(curated, attrgetter("group_id")):
        references = list(of_person)
        reasons = {} if person in synthetic else _reasons(references, thresholds, ranks)
        for item in references:
            if item.reject_reasons != (now := reasons.get(item.pk, [])):
                item.reject_reasons = now
                changed.append(item)
    Reference.objects.bulk_update(changed, ["reject_reasons"], batch_size=BATCH)
    return len(changed)


def blur_ranks(thresholds: Thresholds) -> dict[int, float]:
    """Where each reference's sharpness stands in the collection, in [0, 100]; empty where nobody asks."""
    if not thresholds.min_blur_percentile:
        return {}
    curated = Reference.objects.filter(curation=Curation.DONE, group__truth__isnull=True)
    blurs = curated.values_list("pk", "quality__measures__blur").iterator(chunk_size=2000)
    known = {pk: float(blur) for pk, blur in blurs if blur is not None}
    return dict(zip(known, percentiles(list(known.values())), strict=True))


def _reasons(
    references: Sequence[Reference], thresholds: Thresholds, ranks: Mapping[int, float]
) -> dict[int, list[str]]:
    measured = {
        item.pk: replace(measures, blur_percentile=ranks.get(item.pk))
        for item in references
        if (measures := measures_of(item))
    }
    reasons = {pk: [str(reason) for reason in judge(item, thresholds)] for pk, item in measured.items()}
    # Of files that show the same, the earliest that passes everything else stays.
    passing = [item for item in references if not reasons.get(item.pk) and item.quality.get("fingerprint")]
    fingerprints = [tuple(item.quality["fingerprint"]) for item in passing]
    for index in find_duplicates(fingerprints, thresholds.max_copy_distance):
        reasons[passing[index].pk] = [str(RejectReason.DUPLICATE)]
    return reasons


@transaction.atomic
def apply_thresholds(
    values: Mapping[str, Any],
    author: User,
    *,
    tell: Callable[[int, int], object] = lambda judged, people: None,
) -> int:
    """Let other thresholds hold from now on, and judge everybody by them; how many got other reasons.

    All at once or not at all; `tell` hears how many people of how many are judged.

    Raises:
        ValueError: a threshold is unknown, or out of its range.
    """
    thresholds = Thresholds(**values)
    applied = AppliedThresholds.objects.create(values=asdict(thresholds), author=author)
    ranks = blur_ranks(thresholds)
    people = IdentityGroup.objects.select_for_update().order_by("pk")
    changed, judged, total = 0, 0, people.count()
    for groups in batches(people.iterator(chunk_size=PEOPLE_AT_A_TIME), PEOPLE_AT_A_TIME):
        changed += judge_people(groups, thresholds, ranks)
        judged += len(groups)
        tell(judged, total)
    record_event("apply_thresholds", applied, actor=author, changed=changed, **asdict(thresholds))
    return changed
