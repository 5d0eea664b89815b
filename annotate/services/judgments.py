"""Votes: given once, kept for ever, corrected by appending."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from annotate.models import Judgment, Slot, User
from annotate.services.preferences import resolve_pair
from annotate.services.slots import verdict_of


class LeaseLostError(Exception):
    """The slot is not this person's (any more): it was given to somebody else, or never leased to them."""


class AlreadyJudgedError(Exception):
    """The slot holds another answer of this person; a change of mind is a revision."""


@transaction.atomic
def submit_judgment(
    annotator: User,
    lease: UUID,
    choice: str,
    *,
    idempotency_key: UUID,
    reason: str = "",
    evidence: dict[str, Any] | None = None,
) -> Judgment:
    """Store one vote and resolve its pair, as one transaction.

    Safe to repeat: the same key returns the first answer. A lease that ran out still counts as long as
    nobody else has taken the slot: a vote is never lost for being slow.

    Raises:
        LeaseLostError: the slot is somebody else's by now.
        AlreadyJudgedError: the slot was judged under another key.
        ValueError: an unknown choice.
    """
    slot = Slot.objects.select_for_update().filter(lease=lease, annotator=annotator).first()
    if slot is None:
        raise LeaseLostError("this pair was given to someone else, because the lease ran out")
    earlier = slot.judgments.order_by("-revision").first()
    if earlier is not None:
        if earlier.idempotency_key == idempotency_key:
            return earlier
        raise AlreadyJudgedError("this pair already has your answer")
    judgment = Judgment.objects.create(
        slot=slot,
        verdict=verdict_of(slot, choice),
        reason=reason,
        evidence=evidence or {},
        is_simulated=annotator.is_simulated,
        idempotency_key=idempotency_key,
    )
    slot.judged_at = timezone.now()
    slot.save(update_fields=["judged_at"])
    resolve_pair(slot.pair_id)
    return judgment
