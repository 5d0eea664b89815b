"""Where a person is with a track: qualified, at a try, or waiting for the next one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.html import format_html

from annotate.database import clock
from annotate.database.moments import element
from annotate.models import GoldPair, Judgment, Qualification, Slot, User


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

    @property
    def message(self) -> str:
        """Why this person gets no pair of the track, in a sentence."""
        if self.again_at is not None and self.last is not None:
            return format_html(
                "You answered {} of {} training pairs as expected. Look at what was missed, then try again "
                "from {} on.",
                self.last.right,
                self.last.asked,
                element(self.again_at),
            )
        return (
            "There are no training pairs left for you, so you cannot qualify just now. Ask a lead for more."
        )


def standing_of(annotator: User, track: str) -> Standing:
    """Simulated annotators and leads need no qualification; nor does anybody while it is off."""
    last = Qualification.objects.filter(annotator=annotator, track=track).last()
    free = not settings.QUALIFY or annotator.is_simulated or annotator.is_lead
    again_at = None
    if last is not None and not last.is_passed:
        again_at = last.ended_at + timedelta(hours=settings.QUALIFY_WAIT_H)
        again_at = again_at if again_at > clock.now() else None
    passed = last is not None and last.is_passed
    judged = 0 if free or passed else len(slots_of_try(annotator, track))
    return Standing(free or passed, judged, settings.QUALIFY, again_at, last)


def slots_of_try(annotator: User, track: str) -> list[Slot]:
    """Judged training pairs that no ended try has counted."""
    counted = Qualification.slots.through.objects.filter(qualification__annotator=annotator).values("slot")
    judged = Slot.objects.filter(annotator=annotator, track=track, pair__gold__is_training=True)
    return list(judged.exclude(judged_at=None).exclude(pk__in=counted).select_related("pair"))


def is_right(slot: Slot) -> bool:
    return said_of(slot) == (slot.pair.gold_verdicts or {}).get(slot.track)


def said_of(slot: Slot) -> str:
    return (
        Judgment.objects.filter(slot=slot).order_by("revision").values_list("verdict", flat=True).last() or ""
    )


def missed_pairs(ended: Qualification) -> list[tuple[GoldPair, str]]:
    """The training pairs that were not answered as expected, with what was said of each."""
    slots = ended.slots.select_related("pair").order_by("judged_at")
    missed = {slot.pair_id: said_of(slot) for slot in slots if not is_right(slot)}
    gold = GoldPair.objects.filter(pair__in=missed).select_related("pair__instance__prompt")
    return [(item, missed[item.pair_id]) for item in gold.order_by("pair")]
