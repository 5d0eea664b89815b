"""Who may judge a track: whoever answered enough of its training pairs rightly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotate.models import GoldPair, Judgment, Qualification, Slot, User
from annotate.services.audit import record_event
from rlhf.records import Track


@dataclass(frozen=True)
class Standing:
    """Where a person is with a track.

    Attributes:
        is_qualified: whether they may judge it.
        judged: training pairs of the try under way.
        asked: training pairs of a try.
        again_at: when the next try may begin, after one that failed.
        last: the try that ended last.
    """

    is_qualified: bool
    judged: int
    asked: int
    again_at: datetime | None
    last: Qualification | None


def standing_of(annotator: User, track: Track) -> Standing:
    """Simulated annotators and leads need no qualification; nor does anybody while it is off."""
    last = Qualification.objects.filter(annotator=annotator, track=track).last()
    free = not settings.QUALIFY or annotator.is_simulated or annotator.is_lead
    again_at = None
    if last is not None and not last.is_passed:
        again_at = last.ended_at + timedelta(hours=settings.QUALIFY_WAIT_H)
        again_at = again_at if again_at > timezone.now() else None
    passed = last is not None and last.is_passed
    judged = 0 if free or passed else len(_open_try(annotator, track))
    return Standing(free or passed, judged, settings.QUALIFY, again_at, last)


@transaction.atomic
def end_try(annotator: User, track: Track) -> Qualification | None:
    """Count a try once its last pair is judged; None before that. Safe to repeat."""
    User.objects.select_for_update(no_key=True).get(pk=annotator.pk)
    slots = _open_try(annotator, track)
    if len(slots) < settings.QUALIFY:
        return None
    right = sum(_is_right(slot) for slot in slots)
    ended = Qualification.objects.create(
        annotator=annotator,
        track=track,
        asked=len(slots),
        right=right,
        is_passed=right >= ceil(len(slots) * settings.QUALIFY_PASS / 100),
    )
    ended.slots.set(slots)
    record_event("end_qualification", ended, actor=annotator, right=right, asked=len(slots))
    return ended


def missed(ended: Qualification) -> list[tuple[GoldPair, str]]:
    """The training pairs that were answered wrongly, with what was said."""
    slots = ended.slots.select_related("pair__gold", "pair__instance__prompt").order_by("judged_at")
    return [(slot.pair.gold, _said(slot)) for slot in slots if not _is_right(slot)]


def _open_try(annotator: User, track: Track) -> list[Slot]:
    """Judged training pairs that no ended try has counted."""
    counted = Qualification.slots.through.objects.filter(qualification__annotator=annotator).values("slot")
    judged = Slot.objects.filter(annotator=annotator, track=track, pair__gold__is_training=True)
    return list(judged.exclude(judged_at=None).exclude(pk__in=counted).select_related("pair"))


def _is_right(slot: Slot) -> bool:
    return _said(slot) == (slot.pair.gold_verdicts or {}).get(slot.track)


def _said(slot: Slot) -> str:
    return (
        Judgment.objects.filter(slot=slot).order_by("revision").values_list("verdict", flat=True).last() or ""
    )
