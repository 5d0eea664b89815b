"""What keeps a pair from somebody beyond the queue itself: clauses on `{pair}` in a lease's statements.

`OFFSET 0` has a clause looked at pair by pair, by its indexes. Without it PostgreSQL joins all pairs first.
"""

from __future__ import annotations

from django.conf import settings

from annotate.models import User

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
PERSON_CAP = """AND (
    SELECT count(*) FROM (SELECT 1 FROM annotate_slot o
        WHERE o.annotator_id = %(annotator)s AND o.round_id = r.id LIMIT %(person_cap)s) given
) < %(person_cap)s"""


def alike(annotator: User) -> str:
    """Clauses on pairs of the queue and on gold alike: what kept only one of them away would tell the other.

    Simulated annotators remember nothing of the pair before.
    """
    has_cap = bool(settings.MAX_PAIRS_A_PERSON_AND_IDENTITY)
    has_gap = bool(settings.SAME_PERSON_OTHER_TRACK_GAP) and not annotator.is_simulated
    return f"{_IDENTITY_CAP if has_cap else ''} {_OTHER_TRACK_GAP if has_gap else ''} "
