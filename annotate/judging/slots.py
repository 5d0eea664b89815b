"""Leases: which person looks at which pair, on which track, from which side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from itertools import chain
from random import random
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from annotate.database import clock
from annotate.database.statements import first_row
from annotate.gold.gold_slots import drop_gold, is_golds_turn, keep_gold, lease_gold, lease_training
from annotate.gold.qualification_queries import Standing, standing_of
from annotate.judging import lease_statements
from annotate.judging.assignment_queries import scope_of
from annotate.judging.queries import LEASED, leased_slots, may_choose, read_leased
from annotate.judging.tracks import shown_of
from annotate.models import PreferencePair, Slot, Use, User, VideoPair
from annotate.privacy.consent_queries import given
from rlhf.records import JointState, Track
from rlhf.votes.stopping import leading_track

#: Pairs of one track that a person may hold at once: the one they look at, and the next one.
MAX_HELD = 2
#: What the two videos of a pair have in common, by construction; the database insists on it.
FACTS_ALIKE = ("width", "height", "fps", "num_frames", "encoding")


class RoundNotForChoosingError(ValueError):
    """Somebody asked for a round that annotators may not choose."""


_ASK = """
INSERT INTO annotate_slot (pair_id, round_id, track, ordinal, random_key)
SELECT asked.pair_id, pair.round_id, asked.track, pair.last + n, pair.random_key
FROM unnest(%(pairs)s::bigint[], %(tracks)s::text[], %(counts)s::int[]) asked (pair_id, track, votes)
CROSS JOIN LATERAL (
    SELECT round_id, random_key, coalesce(max(ordinal) FILTER (WHERE track = asked.track), -1) AS last
    FROM annotate_slot WHERE pair_id = asked.pair_id
      AND EXISTS (SELECT 1 FROM annotate_videopair WHERE id = asked.pair_id AND prompt_unread = '')
    GROUP BY round_id, random_key HAVING count(*) FILTER (WHERE judged_at IS NULL) = 0
) pair CROSS JOIN LATERAL generate_series(1, asked.votes) n
"""


def lease_slot(
    annotator: User, track: Track, round_id: int | None = None, *, ahead_of: UUID | None = None
) -> Slot | None:
    """Lease the next slot of a track, or None when nothing is left for this person.

    Safe under concurrency: a slot is held by at most one person, and a person is never shown both
    tracks of a pair. Calling it again before judging returns the same slot.

    `ahead_of` is the lease of the pair that this person looks at: they get the one that follows it, to be
    fetched meanwhile. It is None, too, while `MAX_HELD` answers of the track are still on their way.
    Who came in by an entry link is given what the link says, whatever they ask for. Leads, who see which
    model made what, are given nothing unless `LEADS_MAY_VOTE`.

    Raises:
        RoundNotForChoosingError: this person may not ask for this round.
    """
    if annotator.is_lead and not settings.LEADS_MAY_VOTE:
        return None
    if settings.QUALIFY and not (standing := standing_of(annotator, track)).is_qualified:
        _refuse_unless_chosen(annotator, round_id)
        return _lease_training(annotator, track, standing, ahead_of)
    person_cap, is_used_up = settings.MAX_PAIRS_PER_ANNOTATOR, False
    if annotator.is_participant:
        scope = scope_of(annotator, track)
        if scope is None:
            return None
        round_id, person_cap, is_used_up = scope.round_id, scope.person_cap, scope.is_used_up
    values: dict[str, Any] = {
        "annotator": annotator.pk,
        "track": str(track),
        "round": round_id,
        "may_ask_for_any": annotator.is_simulated or annotator.is_participant,
        "ahead_of": ahead_of,
        "most_held": MAX_HELD,
        "lease_s": settings.LEASE_S,
        "identity_cap": settings.MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY,
        "person_cap": person_cap,
        "other_track_gap": settings.SAME_PERSON_OTHER_TRACK_GAP,
    }
    slot = _lease_next(annotator, values, with_gold=not is_used_up and is_golds_turn())
    if slot is None:
        _refuse_unless_chosen(annotator, round_id)
    return slot


def _refuse_unless_chosen(annotator: User, round_id: int | None) -> None:
    if round_id is not None and not may_choose(annotator, round_id):
        raise RoundNotForChoosingError(
            f"round {round_id} is not open for choosing; leave it out, and you are given what comes next"
        )


def _lease_next(annotator: User, values: Mapping[str, Any], *, with_gold: bool) -> Slot | None:
    alike, has_cap = lease_statements.alike(annotator), bool(values["person_cap"])
    fresh = lease_statements.queue(alike + lease_statements.NOT_MET_AS_GOLD, has_cap=has_cap)
    read = LEASED.format(shown=shown_of(values["track"]))
    if with_gold:
        near = alike.format(pair="p.id", round="p.round_id")
        leased = lease_gold(fresh, near, values, select=lease_statements.TAKE_UNLESS_GOLD + read)
        if leased is not None:
            return read_leased(annotator, leased)
    # Only where nothing else is left do people meet what they know as gold: no pair may wait for ever.
    every = lease_statements.queue(alike, has_cap=has_cap)
    taking = lease_statements.TAKE + read
    return _take(annotator, fresh + taking, values) or _take(annotator, every + taking, values)


def _take(annotator: User, statement: str, values: Mapping[str, Any]) -> Slot | None:
    for _ in range(5):
        try:
            leased = _lease(statement, values)
        except IntegrityError:
            # The same person leased another slot of this pair at this very moment: take another pair.
            continue
        return read_leased(annotator, leased) if leased else None
    return None


def _lease_training(annotator: User, track: Track, standing: Standing, ahead_of: UUID | None) -> Slot | None:
    """A training pair of a try at the track: the one that is held, or the next; none is fetched ahead."""
    if ahead_of is not None:
        return None
    held_slots = leased_slots(annotator).filter(track=track, judged_at=None)
    held = held_slots.filter(given("pair__instance__group", Use.SHOW)).first()
    if held is not None or standing.again_at is not None or standing.judged >= standing.asked:
        return held
    training = lease_training(annotator, track, select=LEASED.format(shown=shown_of(track)))
    return read_leased(annotator, training) if training else None


def _lease(statement: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    # A statement on its own is a transaction; within one, a conflict must not end that.
    inside = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with inside:
        return first_row(statement, values)


def renew_lease(annotator: User, lease: UUID) -> datetime | None:
    """Keep a pair for as long as its person is at it; the new end, or None when it is not theirs any more.

    A lease that ran out is renewed, too, as long as nobody else has taken the slot.
    """
    until = clock.now() + timedelta(seconds=settings.LEASE_S)
    held = Slot.objects.filter(annotator=annotator, lease=lease, judged_at=None)
    return until if held.update(lease_expires_at=until) else None


def release_slot(annotator: User, lease: UUID) -> bool:
    """Give a lease back unjudged; False when it is not this person's any more."""
    held = Slot.objects.filter(annotator=annotator, lease=lease)
    return bool(_release(held.filter(pair__gold=None)) or keep_gold(held))


def release_all(annotator: User) -> None:
    """Take back what this person holds; whoever holds nothing can answer nothing."""
    drop_gold(annotator)
    _release(Slot.objects.filter(annotator=annotator))


def _release(held: QuerySet[Slot]) -> int:
    return held.filter(judged_at=None).update(
        annotator=None,
        lease=None,
        first_side=None,
        left_surplus=None,
        leased_at=None,
        lease_expires_at=None,
    )


def open_slots(pairs: Iterable[VideoPair]) -> None:
    """Ask for the rounds' wanted votes on both tracks; asking again changes nothing.

    A pair whose videos could be told apart by more than what they show gets no slots, and says why.
    """
    refusals = {pair: _why_not(pair) for pair in pairs}
    refuse_pairs({pair.pk: reason for pair, reason in refusals.items() if reason})
    slots = chain.from_iterable(_wanted_slots(pair) for pair, reason in refusals.items() if not reason)
    Slot.objects.bulk_create(slots, ignore_conflicts=True)


def _why_not(pair: VideoPair) -> str:
    """Why nobody can be asked about a pair; empty where people can be."""
    if pair.prompt_unread:
        return f"the prompt was not read whole by {pair.prompt_unread}"
    first, second = pair.first.facts, pair.second.facts
    unlike = next((name for name in FACTS_ALIKE if first.get(name) != second.get(name)), "")
    if not unlike:
        return ""
    return f"its videos differ in {unlike}: {first.get(unlike)} and {second.get(unlike)}; sample both again"


def _wanted_slots(pair: VideoPair) -> Iterator[Slot]:
    random_key = random()
    rule = pair.round.rule
    wanted = {leading_track(pair.pk): rule.minimum} if rule else dict.fromkeys(Track, pair.round.votes_wanted)
    for track, count in wanted.items():
        for ordinal in range(count):
            yield Slot(pair=pair, round=pair.round, track=track, ordinal=ordinal, random_key=random_key)


def ask_for_votes(wanted: Sequence[tuple[VideoPair, Track, int]]) -> None:
    """Ask for more votes on a track, next to the others of its pair, unless some are being waited for."""
    if wanted:
        pairs, tracks, counts = zip(*wanted, strict=True)
        values = {"pairs": [pair.pk for pair in pairs], "tracks": [*map(str, tracks)], "counts": [*counts]}
        with connection.cursor() as cursor:
            cursor.execute(_ASK, values)


def stop_asking(pairs: Sequence[VideoPair]) -> None:
    """Ask for no more votes; whoever is at one of the pairs may still answer."""
    if pairs:
        stop_asking_for(Slot.objects.filter(pair__in=pairs))


def stop_asking_for(slots: QuerySet[Slot]) -> None:
    unheld = Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
    slots.filter(unheld, judged_at=None).delete()


def refuse_pairs(reasons: Mapping[int, str]) -> None:
    """Pairs that nobody can be asked about stay undecided, with the reason."""
    PreferencePair.objects.bulk_create(
        (
            PreferencePair(
                pair_id=key, joint_state=JointState.UNDECIDED, reason=reason[:300], is_simulated=False
            )
            for key, reason in reasons.items()
        ),
        update_conflicts=True,
        unique_fields=["pair"],
        update_fields=["joint_state", "reason", "is_simulated", "updated_at"],
    )
