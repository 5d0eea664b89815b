"""Votes as people give them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from annotate.judging.judgments import submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import Judgment, Slot, User, VideoPair
from rlhf.records import Track, Verdict, choice_of
from tests.factories import make_user


def next_slot(person: User, track: Track = Track.IDENTITY, **where: Any) -> Slot:
    slot = lease_slot(person, track, **where)
    assert slot is not None
    return slot


def judge(slot: Slot, verdict: Verdict | str) -> Judgment:
    """Answer so that the verdict comes out, whatever the side."""
    assert slot.annotator is not None and slot.lease is not None
    return submit_judgment(
        slot.annotator,
        slot.lease,
        choice_of(verdict, first_on_left=slot.first_on_left),
        idempotency_key=uuid4(),
    )


def vote(pair: VideoPair, track: Track, verdict: Verdict, person: User | None = None) -> Judgment:
    """Judge one slot of a pair."""
    slot = next_slot(person or make_user(), track)
    assert slot.pair == pair
    return judge(slot, verdict)
