"""Leases: which person looks at which pair, on which track, from which side."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from annotate.models import Round, Side, Slot, User, VideoPair
from annotate.queries import leased_slots
from rlhf.records import Track, Verdict

#: What a person may answer on the page.
CHOICES = ("left", "right", "tie", "both_bad", "unsure")

# One statement leases one slot: it takes the person's own open lease again (a reload, or a lease that ran
# out but that nobody took), else the next free slot of a pair that this person has not met on the other
# track. The side is the one this person has seen less often on this track, so sides never differ by more
# than one; at equality a coin decides.
_LEASE = """
WITH mine AS (
    SELECT s.id FROM annotate_slot s JOIN annotate_videopair p ON p.id = s.pair_id
    WHERE s.annotator_id = %(annotator)s AND s.track = %(track)s AND s.judged_at IS NULL
      AND (%(round)s::bigint IS NULL OR p.round_id = %(round)s)
    ORDER BY s.leased_at LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), free AS (
    SELECT s.id FROM annotate_slot s
    JOIN annotate_videopair p ON p.id = s.pair_id
    JOIN annotate_round r ON r.id = p.round_id AND r.is_open
    WHERE s.track = %(track)s AND s.judged_at IS NULL
      AND (s.lease_expires_at IS NULL OR s.lease_expires_at < statement_timestamp())
      AND (%(round)s::bigint IS NULL OR p.round_id = %(round)s)
      AND NOT EXISTS (SELECT 1 FROM mine)
      AND NOT EXISTS (SELECT 1 FROM annotate_exposure e WHERE e.pair_id = s.pair_id
                      AND e.annotator_id = %(annotator)s AND e.track <> s.track)
      AND NOT EXISTS (SELECT 1 FROM annotate_slot o WHERE o.pair_id = s.pair_id
                      AND o.annotator_id = %(annotator)s)
    ORDER BY s.random_key LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), surplus AS (
    SELECT coalesce(sum(CASE first_side WHEN 'left' THEN 1 ELSE -1 END), 0) AS of_left
    FROM annotate_slot WHERE annotator_id = %(annotator)s AND track = %(track)s
), leased AS (
    UPDATE annotate_slot s SET
        first_side = CASE WHEN s.annotator_id = %(annotator)s THEN s.first_side
                          WHEN of_left > 0 THEN 'right' WHEN of_left < 0 THEN 'left'
                          WHEN random() < 0.5 THEN 'left' ELSE 'right' END,
        lease = CASE WHEN s.annotator_id = %(annotator)s THEN s.lease ELSE gen_random_uuid() END,
        leased_at = CASE WHEN s.annotator_id = %(annotator)s THEN s.leased_at ELSE statement_timestamp() END,
        annotator_id = %(annotator)s,
        lease_expires_at = statement_timestamp() + make_interval(secs => %(lease_s)s)
    FROM surplus WHERE s.id IN (SELECT id FROM mine UNION ALL SELECT id FROM free)
    RETURNING s.id, s.pair_id
), exposed AS (
    INSERT INTO annotate_exposure (pair_id, annotator_id, track)
    SELECT pair_id, %(annotator)s, %(track)s FROM leased
    ON CONFLICT (pair_id, annotator_id) DO NOTHING
)
SELECT id FROM leased
"""


def lease_slot(annotator: User, track: Track, round: Round | None = None) -> Slot | None:
    """Lease the next slot of a track, or None when nothing is left for this person.

    Safe under concurrency: a slot is held by at most one person, and a person is never shown both
    tracks of a pair. Calling it again before judging returns the same slot.
    """
    values: dict[str, int | str | None] = {
        "annotator": annotator.pk,
        "track": str(track),
        "round": round.pk if round else None,
        "lease_s": settings.LEASE_S,
    }
    for _ in range(5):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(_LEASE, values)
                row = cursor.fetchone()
        except IntegrityError:
            # The same person leased the other track of this pair at this very moment: take another pair.
            continue
        return leased_slots(annotator).get(pk=row[0]) if row else None
    return None


def release_slot(annotator: User, lease: UUID) -> bool:
    """Give a lease back unjudged; False when it is not this person's any more."""
    held = Slot.objects.filter(annotator=annotator, lease=lease, judged_at=None)
    return bool(
        held.update(annotator=None, lease=None, first_side=None, leased_at=None, lease_expires_at=None)
    )


def open_slots(pair: VideoPair) -> None:
    """Ask for the round's wanted votes on both tracks; asking again changes nothing."""
    Slot.objects.bulk_create(
        [
            Slot(pair=pair, track=track, ordinal=ordinal)
            for track in Track
            for ordinal in range(pair.round.votes_wanted)
        ],
        ignore_conflicts=True,
    )


def verdict_of(slot: Slot, choice: str) -> Verdict:
    """A screen side becomes a sample here, and nowhere else.

    Raises:
        ValueError: an unknown choice.
    """
    if choice in Side.values:
        return Verdict.FIRST if choice == slot.first_side else Verdict.SECOND
    if choice not in CHOICES:
        raise ValueError(f"choice is {choice!r}; it must be one of: {', '.join(CHOICES)}")
    return Verdict(choice)
