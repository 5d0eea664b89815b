"""The end of a try at a track: whoever answered enough training pairs as expected may judge it."""

from __future__ import annotations

from math import ceil

from django.conf import settings
from django.db import transaction

from annotate.core.audit import record_event
from annotate.gold.qualification_queries import is_right, slots_of_try
from annotate.models import Qualification, User
from rlhf.records import Track


@transaction.atomic
def end_try(annotator: User, track: Track) -> Qualification | None:
    """Count a try once its last pair is judged; None before that. Safe to repeat."""
    User.objects.select_for_update(no_key=True).get(pk=annotator.pk)
    slots = slots_of_try(annotator, track)
    if len(slots) < settings.QUALIFY:
        return None
    right = sum(is_right(slot) for slot in slots)
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
