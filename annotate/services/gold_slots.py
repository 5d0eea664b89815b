"""Gold among the pairs that a person is given: now and then, never twice, and within its budget."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from annotate.consent_queries import given_sql
from annotate.models import Use, User
from rlhf.records import Track

# One statement makes a slot of a gold pair and leases it at once; beside it gold has no slots, so the queue
# does not know it. Nothing is given while this person holds a pair, but the one that they look at. The
# ordinal of two people at the same moment is the same: the second insert fails, and nobody is above budget.
# Place in the queue and balance of the sides are those of the pair before, so that they go on undisturbed; a
# repeat has the sides of its pair exchanged.
_LEASE_GOLD = f"""
WITH held AS (
    SELECT s.lease FROM annotate_slot s JOIN annotate_round r ON r.id = s.round_id AND r.is_open
    JOIN annotate_videopair p ON p.id = s.pair_id
    JOIN annotate_instance i ON i.id = p.instance_id JOIN annotate_identitygroup g ON g.id = i.group_id
    WHERE s.annotator_id = %(annotator)s AND s.track = %(track)s AND s.judged_at IS NULL
      AND {given_sql("g", Use.SHOW)}
), chosen AS (
    SELECT g.pair_id, p.round_id, g.repeats_id, last.random_key, coalesce(last.left_surplus, 0) AS surplus,
           (SELECT count(*) FROM annotate_slot s WHERE s.pair_id = g.pair_id) AS shown, random() < 0.5 AS coin
    FROM annotate_goldpair g
    JOIN annotate_videopair p ON p.id = g.pair_id
    JOIN annotate_round r ON r.id = p.round_id AND r.is_open
    JOIN annotate_instance i ON i.id = p.instance_id
    JOIN annotate_identitygroup person ON person.id = i.group_id
    LEFT JOIN annotate_slot origin ON origin.id = g.repeats_id
    LEFT JOIN LATERAL (
        SELECT s.random_key, s.left_surplus FROM annotate_slot s
        WHERE s.annotator_id = %(annotator)s AND s.round_id = p.round_id AND s.track = %(track)s
        ORDER BY s.leased_at DESC LIMIT 1
    ) last ON true
    WHERE g.track = %(track)s AND g.is_training = %(is_training)s AND g.retired_at IS NULL
      AND (%(round)s::bigint IS NULL OR p.round_id = %(round)s)
      AND (last.random_key IS NOT NULL OR g.is_training)
      AND (g.repeats_id IS NULL OR origin.annotator_id = %(annotator)s)
      AND {given_sql("person", Use.SHOW)}
      AND (g.kind <> 'impostor' OR EXISTS (
          SELECT 1 FROM annotate_identitygroup i WHERE i.id = g.impostor_id AND {given_sql("i", Use.SHOW)}))
      AND NOT EXISTS (SELECT 1 FROM annotate_slot o
                      WHERE o.pair_id = g.pair_id AND o.annotator_id = %(annotator)s)
      AND (SELECT count(*) FROM annotate_slot s WHERE s.pair_id = g.pair_id) < g.budget
      AND NOT EXISTS (SELECT 1 FROM held WHERE held.lease IS DISTINCT FROM %(ahead_of)s::uuid)
    ORDER BY g.repeats_id IS NULL, random() LIMIT 1
), sided AS (
    SELECT chosen.*, CASE
        WHEN chosen.repeats_id IS NOT NULL THEN (
            SELECT CASE o.first_side WHEN 'left' THEN 'right' ELSE 'left' END
            FROM annotate_slot o WHERE o.id = chosen.repeats_id)
        WHEN surplus < 0 OR surplus = 0 AND coin THEN 'left' ELSE 'right' END AS side
    FROM chosen
), leased AS (
    INSERT INTO annotate_slot (pair_id, round_id, track, ordinal, random_key, annotator_id, first_side,
                               left_surplus, lease, leased_at, lease_expires_at)
    SELECT pair_id, round_id, %(track)s, shown, coalesce(random_key, random()), %(annotator)s, side,
           CASE WHEN repeats_id IS NOT NULL THEN surplus
                WHEN side = 'left' THEN surplus + 1 ELSE surplus - 1 END,
           gen_random_uuid(), statement_timestamp(),
           statement_timestamp() + make_interval(secs => %(lease_s)s)
    FROM sided
    RETURNING id, pair_id
), exposed AS (
    INSERT INTO annotate_exposure (pair_id, annotator_id, track)
    SELECT pair_id, %(annotator)s, %(track)s FROM leased
)
SELECT id FROM leased
"""


def lease_gold(
    annotator: User,
    track: Track,
    round_id: int | None,
    ahead_of: UUID | None,
    *,
    is_training: bool = False,
) -> int | None:
    """A fresh slot of a gold pair that this person has not met, or None; repeats of their own come first."""
    values: dict[str, Any] = {
        "annotator": annotator.pk,
        "track": str(track),
        "round": round_id,
        "ahead_of": ahead_of,
        "is_training": is_training,
        "lease_s": settings.LEASE_S,
    }
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_LEASE_GOLD, values)
            row = cursor.fetchone()
    except IntegrityError:
        return None  # somebody else took the item's last place at this very moment
    return row[0] if row else None


def is_golds_turn() -> bool:
    """By chance, since a pattern would be seen."""
    return bool(settings.GOLD_EVERY) and random.random() < 1 / settings.GOLD_EVERY
