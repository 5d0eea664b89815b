"""Gold among the pairs that a person is given: now and then, never twice, and within its budget.

A gold pair takes the turn of a pair of the queue: where there is none, there is no gold. It is of the same
round, and what keeps a pair of the queue away keeps gold away, too.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotate.database.statements import first_row
from annotate.models import Slot, Use, User
from annotate.privacy.consent_queries import given_sql
from rlhf.records import Track

# Whose turn it is: the pair of the queue that this person would get now, and where they are in its round.
_TURN = """, turn AS (
    SELECT free.round_id, place, surplus, EXISTS (
        SELECT 1 FROM annotate_slot o
        WHERE o.pair_id = free.pair_id AND o.track <> %(track)s AND o.judged_at IS NULL
          AND (o.lease_expires_at IS NULL OR o.lease_expires_at < statement_timestamp())
    ) AS is_less_on_both
    FROM free WHERE place IS NOT NULL
)"""
# Training has no queue.
_TRAINING_TURN = """
WITH turn AS (
    SELECT r.id AS round_id, last.random_key AS place, coalesce(last.left_surplus, 0) AS surplus,
           false AS is_less_on_both
    FROM annotate_round r
    LEFT JOIN LATERAL (
        SELECT s.random_key, s.left_surplus FROM annotate_slot s
        WHERE s.annotator_id = %(annotator)s AND s.round_id = r.id AND s.track = %(track)s
        ORDER BY s.leased_at DESC LIMIT 1
    ) last ON true
    WHERE r.is_open
)"""

# One statement makes a slot of a gold pair and leases it at once; beside it gold has no slots, so the queue
# does not know it. The ordinal of two people at the same moment is the same: the second insert fails, and
# nobody is above budget. Place in the queue and balance of the sides are those of the pair before, so that
# they go on undisturbed; a repeat has the sides of its pair exchanged. But for repeats, nobody meets an
# instance both as gold and otherwise: equal pictures would tell.
_LEASE_GOLD = """, item AS MATERIALIZED (
    SELECT p.id, p.instance_id, p.first_id, p.second_id, g.budget, NULL::bigint AS repeats_id, turn.*
    FROM turn
    JOIN annotate_videopair p ON p.round_id = turn.round_id
    JOIN annotate_goldpair g ON g.pair_id = p.id
    WHERE g.repeats_id IS NULL AND g.track = %(track)s AND g.is_training = %(is_training)s
      AND g.retired_at IS NULL
    UNION ALL
    SELECT p.id, p.instance_id, p.first_id, p.second_id, g.budget, g.repeats_id, turn.*
    FROM turn
    JOIN annotate_slot origin ON origin.round_id = turn.round_id
    JOIN annotate_goldpair g ON g.repeats_id = origin.id
    JOIN annotate_videopair p ON p.id = g.pair_id
    WHERE origin.annotator_id = %(annotator)s AND origin.track = %(track)s
      AND g.is_training = %(is_training)s AND g.retired_at IS NULL
), shuffled AS MATERIALIZED (
    SELECT * FROM item ORDER BY repeats_id IS NULL, random()
), chosen AS (
    SELECT p.id AS pair_id, p.repeats_id, p.round_id, p.place, p.surplus, p.is_less_on_both,
           (SELECT count(*) FROM annotate_exposure e WHERE e.pair_id = p.id) AS shown,
           hashint8extended(p.id, %(annotator)s::bigint) %% 2 = 0 AS coin
    FROM shuffled p
    WHERE NOT EXISTS (SELECT 1 FROM annotate_exposure e
                      WHERE e.pair_id = p.id AND e.annotator_id = %(annotator)s OFFSET 0)
      AND (SELECT count(*) FROM annotate_exposure e WHERE e.pair_id = p.id) < p.budget
      AND NOT EXISTS (
          SELECT 1 FROM annotate_instance i
          JOIN annotate_identitygroup person ON person.id = i.group_id
          WHERE i.id = p.instance_id AND NOT {person} OFFSET 0)
      AND NOT EXISTS (
          SELECT 1 FROM annotate_videosample copy
          JOIN annotate_videosample source ON source.id = copy.copy_of_id
          JOIN annotate_instance i ON i.id = source.instance_id
          JOIN annotate_identitygroup other ON other.id = i.group_id
          WHERE copy.id IN (p.first_id, p.second_id) AND NOT {other} OFFSET 0)
      AND (p.repeats_id IS NOT NULL OR NOT EXISTS (
          SELECT 1 FROM annotate_videosample copy
          JOIN annotate_videosample source ON source.id = copy.copy_of_id
          JOIN annotate_videosample original ON original.instance_id = source.instance_id
          CROSS JOIN LATERAL (
              SELECT original.id
              UNION ALL SELECT id FROM annotate_videosample WHERE copy_of_id = original.id
          ) near
          CROSS JOIN LATERAL (
              SELECT id FROM annotate_videopair WHERE first_id = near.id
              UNION ALL SELECT id FROM annotate_videopair WHERE second_id = near.id
          ) met
          WHERE copy.id IN (p.first_id, p.second_id) AND EXISTS (
              SELECT 1 FROM annotate_exposure e
              WHERE e.pair_id = met.id AND e.annotator_id = %(annotator)s OFFSET 0) OFFSET 0))
      {clauses}
    LIMIT 1
), sided AS (
    SELECT chosen.*, CASE
        WHEN chosen.repeats_id IS NOT NULL THEN (
            SELECT CASE o.first_side WHEN 'left' THEN 'right' ELSE 'left' END
            FROM annotate_slot o WHERE o.id = chosen.repeats_id)
        WHEN surplus < 0 OR surplus = 0 AND coin THEN 'left' ELSE 'right' END AS side
    FROM chosen
), leased_gold AS (
    INSERT INTO annotate_slot (pair_id, round_id, track, ordinal, random_key, annotator_id, first_side,
                               left_surplus, lease, leased_at, lease_expires_at)
    SELECT pair_id, round_id, %(track)s, shown, coalesce(place, random()), %(annotator)s, side,
           CASE WHEN repeats_id IS NOT NULL THEN surplus
                WHEN side = 'left' THEN surplus + 1 ELSE surplus - 1 END,
           gen_random_uuid(), statement_timestamp(),
           statement_timestamp() + make_interval(secs => %(lease_s)s)
    FROM sided
    RETURNING *
), exposed_gold AS (
    INSERT INTO annotate_exposure (pair_id, annotator_id, track, is_less_on_both)
    SELECT leased_gold.pair_id, %(annotator)s, %(track)s, sided.is_less_on_both FROM leased_gold, sided
)"""


def lease_gold(queue: str, clauses: str, values: Mapping[str, Any], *, select: str) -> tuple[Any, ...] | None:
    """Lease a gold pair in the turn of the next pair of `queue`; what `select` reads of `leased_gold`.

    Own repeats come first. `clauses` are the queue's own on the pair `p`.
    """
    return _lease(queue + _TURN + _statement(clauses) + select, {**values, "is_training": False})


def lease_training(annotator: User, track: Track, *, select: str) -> tuple[Any, ...] | None:
    """The same of a training pair that this person has not met."""
    values = {
        "annotator": annotator.pk,
        "track": str(track),
        "is_training": True,
        "lease_s": settings.LEASE_S,
    }
    leased = ", leased AS (SELECT * FROM leased_gold)"
    return _lease(_TRAINING_TURN + _statement("") + leased + select, values)


@cache
def _statement(clauses: str) -> str:
    """Both the pair's person and whoever a copy shows have agreed to be shown."""
    person, other = (given_sql(table, Use.SHOW) for table in ("person", "other"))
    return _LEASE_GOLD.format(clauses=clauses, person=person, other=other)


def _lease(statement: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    try:
        with transaction.atomic():
            return first_row(statement, values)
    except IntegrityError:
        return None  # somebody else took the item's last place at this very moment


def keep_gold(held: QuerySet[Slot]) -> int:
    """Give gold back: as a pair of the queue would, it comes again to its person; nobody else gets it."""
    gold = held.filter(judged_at=None, pair__gold__isnull=False)
    return gold.update(lease=uuid.uuid4(), lease_expires_at=Now())


def drop_gold(annotator: User) -> None:
    """Take back what gold somebody holds; that they met it stays known, and counts for its budget."""
    Slot.objects.filter(annotator=annotator, judged_at=None, pair__gold__isnull=False).delete()


def is_golds_turn() -> bool:
    """By chance, since a pattern would be seen."""
    return bool(settings.GOLD_EVERY) and random.random() < 1 / settings.GOLD_EVERY
