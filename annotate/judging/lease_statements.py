"""The statement that leases a slot, and clauses on `{pair}` that keep pairs from somebody.

`OFFSET 0` has a clause looked at pair by pair, by its indexes. Without it PostgreSQL joins all pairs first.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings

from annotate.models import Use, User
from annotate.privacy.consent_queries import given_sql

# One statement leases one slot: the queue, and what is taken from it. `mine` is what this person holds
# already: the oldest, or the next one after the lease that they look at. `free` is the next one of the
# queue, from where this person is in it to its end and then from its start; rounds come in order, and the
# scan ends at the first slot that fits, so its cost does not grow with the queue. A pair that they have met
# on the other track, or judged, is left out, and so is one of a person who did not agree to be shown, and
# one of a person whom they met on the other track among their last pairs. Who is disqualified is given
# nothing. Gold is its person's for good (`gold_slots`). Sides differ by one at most: after an even number a
# coin decides, then the other side follows. The coin is the same whenever this person asks, or a pair that
# was given back and comes again would tell itself.
_QUEUE = """
WITH open_round AS (
    SELECT id FROM annotate_round WHERE is_open AND (%(round)s::bigint IS NULL OR id = %(round)s)
      AND (%(round)s::bigint IS NULL OR may_be_chosen OR %(may_ask_for_any)s)
      AND NOT EXISTS (SELECT 1 FROM annotate_disqualification d
                      WHERE d.annotator_id = %(annotator)s AND d.lifted_at IS NULL)
    ORDER BY id
), held AS (
    SELECT s.id, s.lease, s.leased_at FROM annotate_slot s
    WHERE s.annotator_id = %(annotator)s AND s.track = %(track)s AND s.judged_at IS NULL
      AND s.round_id IN (SELECT id FROM open_round)
      AND EXISTS (SELECT 1 FROM annotate_videopair p
                  JOIN annotate_instance i ON i.id = p.instance_id
                  JOIN annotate_identitygroup g ON g.id = i.group_id
                  WHERE p.id = s.pair_id AND {consent})
), mine AS (
    SELECT s.id FROM annotate_slot s
    WHERE s.id IN (SELECT id FROM held WHERE leased_at > coalesce(
        (SELECT leased_at FROM annotate_slot WHERE lease = %(ahead_of)s AND annotator_id = %(annotator)s),
        '-infinity'))
      AND s.annotator_id = %(annotator)s AND s.judged_at IS NULL
    ORDER BY s.leased_at LIMIT 1 FOR UPDATE SKIP LOCKED
), recent AS MATERIALIZED (
    SELECT i.group_id FROM (
        SELECT pair_id, track FROM annotate_exposure WHERE annotator_id = %(annotator)s
        ORDER BY id DESC LIMIT %(other_track_gap)s
    ) e
    JOIN annotate_videopair p ON p.id = e.pair_id
    JOIN annotate_instance i ON i.id = p.instance_id
    WHERE e.track <> %(track)s
), free AS (
    SELECT s.id, s.pair_id, r.id AS round_id, last.random_key AS place,
           coalesce(last.left_surplus, 0) AS surplus,
           hashint8extended(s.pair_id, %(annotator)s::bigint) %% 2 = 0 AS coin
    FROM open_round r
    LEFT JOIN LATERAL (
        SELECT random_key, left_surplus FROM annotate_slot
        WHERE annotator_id = %(annotator)s AND round_id = r.id AND track = %(track)s
        ORDER BY leased_at DESC LIMIT 1
    ) last ON true
    CROSS JOIN LATERAL (VALUES
        (coalesce(last.random_key, '-infinity'), 'infinity'::float8),
        ('-infinity'::float8, coalesce(last.random_key, '-infinity'))
    ) stretch (low, high)
    CROSS JOIN LATERAL (
        SELECT s.id, s.pair_id FROM annotate_slot s
        WHERE s.round_id = r.id AND s.track = %(track)s AND s.judged_at IS NULL
          AND s.random_key >= stretch.low AND s.random_key < stretch.high
          AND (s.lease_expires_at IS NULL OR s.lease_expires_at < statement_timestamp()
               AND NOT EXISTS (SELECT 1 FROM annotate_goldpair gold WHERE gold.pair_id = s.pair_id))
          AND NOT EXISTS (SELECT 1 FROM annotate_exposure e WHERE e.pair_id = s.pair_id
                          AND e.annotator_id = %(annotator)s AND e.track <> s.track)
          AND NOT EXISTS (SELECT 1 FROM annotate_slot o WHERE o.pair_id = s.pair_id
                          AND o.annotator_id = %(annotator)s)
          AND NOT EXISTS (SELECT 1 FROM annotate_videopair p
                          JOIN annotate_instance i ON i.id = p.instance_id
                          JOIN annotate_identitygroup g ON g.id = i.group_id
                          WHERE p.id = s.pair_id AND NOT {consent})
          {clauses}
        ORDER BY s.random_key LIMIT 1 FOR UPDATE OF s SKIP LOCKED
    ) s
    WHERE NOT EXISTS (SELECT 1 FROM mine)
      AND (%(ahead_of)s::uuid IS NULL OR (SELECT count(*) FROM held) < %(most_held)s)
      {person_cap}
    LIMIT 1
)"""

_TAKE = """, wanted AS (
    SELECT id, NULL::varchar AS side, NULL::int AS surplus FROM mine
    UNION ALL
    SELECT id, CASE WHEN surplus < 0 OR surplus = 0 AND coin THEN 'left' ELSE 'right' END, surplus FROM free
    {unless_gold}
), taken AS (
    UPDATE annotate_slot s SET
        first_side = coalesce(w.side, s.first_side),
        left_surplus = CASE w.side WHEN 'left' THEN w.surplus + 1 WHEN 'right' THEN w.surplus - 1
                       ELSE s.left_surplus END,
        lease = CASE WHEN w.side IS NULL THEN s.lease ELSE gen_random_uuid() END,
        leased_at = CASE WHEN w.side IS NULL THEN s.leased_at ELSE statement_timestamp() END,
        annotator_id = %(annotator)s,
        lease_expires_at = statement_timestamp() + make_interval(secs => %(lease_s)s)
    FROM wanted w WHERE s.id = w.id
    RETURNING s.*
), exposed AS (
    INSERT INTO annotate_exposure (pair_id, annotator_id, track)
    SELECT pair_id, %(annotator)s, %(track)s FROM taken
    ON CONFLICT (pair_id, annotator_id) DO NOTHING
), leased AS (
    SELECT * FROM taken {or_gold}
)"""
TAKE = _TAKE.format(unless_gold="", or_gold="")
#: In gold's turn: a pair of the queue only where there is no gold for this person.
TAKE_UNLESS_GOLD = _TAKE.format(
    unless_gold="WHERE NOT EXISTS (SELECT 1 FROM leased_gold)",
    or_gold="UNION ALL SELECT * FROM leased_gold",
)


# How often one person is given one identity, ...
_IDENTITY_CAP = """AND (
    SELECT count(*) FROM annotate_slot o
    JOIN annotate_videopair q ON q.id = o.pair_id
    JOIN annotate_instance j ON j.id = q.instance_id
    WHERE o.annotator_id = %(annotator)s AND o.round_id = {round} AND j.group_id = (
        SELECT i.group_id FROM annotate_videopair p JOIN annotate_instance i ON i.id = p.instance_id
        WHERE p.id = {pair})
) < %(identity_cap)s"""
# ... and that they have not met its person on the other track just now.
_OTHER_TRACK_GAP = """AND NOT EXISTS (
    SELECT 1 FROM annotate_videopair p
    JOIN annotate_instance i ON i.id = p.instance_id
    JOIN recent ON recent.group_id = i.group_id
    WHERE p.id = {pair} OFFSET 0)"""
# A video and its gold copy are not met by the same person, who could tell by that which pair was gold.
NOT_MET_AS_GOLD = """AND NOT EXISTS (
    SELECT 1 FROM annotate_videopair p
    JOIN annotate_videosample original ON original.instance_id = p.instance_id
    JOIN annotate_videosample copy ON copy.copy_of_id = original.id
    CROSS JOIN LATERAL (
        SELECT id FROM annotate_videopair WHERE first_id = copy.id
        UNION ALL SELECT id FROM annotate_videopair WHERE second_id = copy.id
    ) gold
    WHERE p.id = {pair} AND EXISTS (
        SELECT 1 FROM annotate_exposure e
        WHERE e.pair_id = gold.id AND e.annotator_id = %(annotator)s OFFSET 0) OFFSET 0)"""
# How many pairs of a round one person is given in all; this and the identities' count at most so far.
_PERSON_CAP = """AND (
    SELECT count(*) FROM (SELECT 1 FROM annotate_slot o
        WHERE o.annotator_id = %(annotator)s AND o.round_id = r.id LIMIT %(person_cap)s) given
) < %(person_cap)s"""


def alike(annotator: User) -> str:
    """Clauses on pairs of the queue and on gold alike: what kept only one of them away would tell the other.

    Simulated annotators remember nothing of the pair before.
    """
    has_cap = bool(settings.MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY)
    has_gap = bool(settings.SAME_PERSON_OTHER_TRACK_GAP) and not annotator.is_simulated
    return f"{_IDENTITY_CAP if has_cap else ''} {_OTHER_TRACK_GAP if has_gap else ''} "


@cache
def queue(clauses: str, *, has_cap: bool) -> str:
    """The queue of one person, before `TAKE`; `has_cap` where a round gives them so many pairs at most."""
    return _QUEUE.format(
        consent=given_sql("g", Use.SHOW),
        person_cap=_PERSON_CAP if has_cap else "",
        clauses=clauses.format(pair="s.pair_id", round="s.round_id"),
    )
