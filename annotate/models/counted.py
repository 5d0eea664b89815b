"""What is counted of the loop's rows, see `annotate.models.tally`.

Each count is written down once, as a statement over `{changes}`: rows with a `sign`, 1 for what they are now
and -1 for what they were. A trigger runs it with the rows of its statement, a recount with all rows as if
they had just come.
"""

from __future__ import annotations

# Gold is in no count of a round; nobody may see from a number which of their votes was on gold.
SLOTS = """
    SELECT c.subject, c.subject_id, c.name, c.annotator_id, c.day, s.sign AS amount FROM ({changes}) s
    JOIN annotate_videopair p ON p.id = s.pair_id
    CROSS JOIN LATERAL (VALUES
        ('round', s.round_id, 'wanted.' || s.track, 0, NULL::date, p.gold_verdicts IS NULL),
        ('round', s.round_id, 'judged.' || s.track, 0, (s.judged_at AT TIME ZONE 'UTC')::date,
            p.gold_verdicts IS NULL AND s.judged_at IS NOT NULL),
        ('round', s.round_id, 'voted', s.annotator_id, NULL::date,
            p.gold_verdicts IS NULL AND s.judged_at IS NOT NULL),
        ('annotator', s.annotator_id, 'judged.' || s.track, 0, NULL::date, s.judged_at IS NOT NULL)
    ) c (subject, subject_id, name, annotator_id, day, counts)
    WHERE c.counts
"""

# Pairs with slots, all of which are judged: what the pair is now, and what it was before the changes.
JUDGED_IN_FULL = """
    SELECT 'round' AS subject, p.round_id AS subject_id, 'judged_in_full' AS name, 0 AS annotator_id,
        NULL::date AS day,
        (now.slots > 0 AND now.waiting = 0)::int
            - (now.slots - s.slots > 0 AND now.waiting - s.waiting = 0)::int AS amount
    FROM (SELECT pair_id, sum(sign) AS slots, sum(sign) FILTER (WHERE judged_at IS NULL) AS waiting
          FROM ({changes}) changed GROUP BY pair_id) changed
    CROSS JOIN LATERAL (VALUES (changed.slots, coalesce(changed.waiting, 0))) s (slots, waiting)
    JOIN annotate_videopair p ON p.id = changed.pair_id AND p.gold_verdicts IS NULL
    CROSS JOIN LATERAL (SELECT count(*) AS slots, count(*) FILTER (WHERE judged_at IS NULL) AS waiting
                        FROM annotate_slot WHERE pair_id = changed.pair_id) now
"""

PAIRS = """
    SELECT c.subject, c.subject_id, c.name, c.annotator_id, c.day, p.sign AS amount FROM ({changes}) p
    CROSS JOIN LATERAL (VALUES
        ('round', p.round_id, 'pairs', 0, NULL::date, true),
        ('round', p.round_id, 'withheld', 0, NULL::date, p.prompt_unread <> '')
    ) c (subject, subject_id, name, annotator_id, day, counts)
    WHERE c.counts AND p.gold_verdicts IS NULL
"""

# An instance and a video count once in a round, however many of its pairs have them.
INSTANCES = """
    SELECT 'round' AS subject, changed.round_id AS subject_id, 'instances' AS name, 0 AS annotator_id,
        NULL::date AS day, (now.pairs > 0)::int - (now.pairs - changed.pairs > 0)::int AS amount
    FROM (SELECT round_id, instance_id, sum(sign) AS pairs FROM ({changes}) p
          WHERE gold_verdicts IS NULL GROUP BY round_id, instance_id) changed
    CROSS JOIN LATERAL (SELECT count(*) AS pairs FROM annotate_videopair p WHERE p.round_id = changed.round_id
                        AND p.instance_id = changed.instance_id AND p.gold_verdicts IS NULL) now
"""
SHOWN_SAMPLES = """
    SELECT 'round' AS subject, changed.round_id AS subject_id, c.name, 0 AS annotator_id, NULL::date AS day,
        ((now.pairs > 0)::int - (now.pairs - changed.pairs > 0)::int) * c.counts::int AS amount
    FROM (SELECT p.round_id, side.sample_id, sum(p.sign) AS pairs FROM ({changes}) p
          CROSS JOIN LATERAL (VALUES (p.first_id), (p.second_id)) side (sample_id)
          WHERE p.gold_verdicts IS NULL GROUP BY p.round_id, side.sample_id) changed
    JOIN annotate_videosample s ON s.id = changed.sample_id
    CROSS JOIN LATERAL (VALUES ('samples', true), ('samples_made', s.path <> ''),
                               ('samples_failed', s.error <> '')) c (name, counts)
    CROSS JOIN LATERAL (
        SELECT count(*) AS pairs FROM (
            SELECT round_id, gold_verdicts FROM annotate_videopair WHERE first_id = s.id
            UNION ALL SELECT round_id, gold_verdicts FROM annotate_videopair WHERE second_id = s.id
        ) p WHERE p.round_id = changed.round_id AND p.gold_verdicts IS NULL
    ) now
"""
# What became of videos that rounds show already.
CHANGED_SAMPLES = """
    SELECT 'round' AS subject, shown.round_id AS subject_id, c.name, 0 AS annotator_id, NULL::date AS day,
        s.sign * c.counts::int AS amount
    FROM ({changes}) s
    CROSS JOIN LATERAL (
        SELECT round_id FROM annotate_videopair WHERE first_id = s.id AND gold_verdicts IS NULL
        UNION SELECT round_id FROM annotate_videopair WHERE second_id = s.id AND gold_verdicts IS NULL
    ) shown
    CROSS JOIN LATERAL (VALUES ('samples_made', s.path <> ''), ('samples_failed', s.error <> ''))
        c (name, counts)
    WHERE c.counts
"""
SAMPLES = """
    SELECT 'version' AS subject, s.model_version_id AS subject_id, 'samples' AS name, 0 AS annotator_id,
        NULL::date AS day, s.sign AS amount
    FROM ({changes}) s WHERE s.path <> ''
"""

# Judgments are only appended; their number and the sum of their keys tell whether there are others.
JUDGMENTS = """
    SELECT 'round' AS subject, s.round_id AS subject_id,
        c.name || CASE WHEN j.is_simulated THEN '.simulated' ELSE '.people' END AS name, 0 AS annotator_id,
        NULL::date AS day, j.sign * c.amount AS amount
    FROM ({changes}) j JOIN annotate_slot s ON s.id = j.slot_id
    CROSS JOIN LATERAL (VALUES ('judgments', 1::bigint), ('judgment_keys', j.id)) c (name, amount)
"""

CONSENSUSES = """
    SELECT 'round' AS subject, p.round_id AS subject_id, 'resolved.' || c.track AS name, 0 AS annotator_id,
        NULL::date AS day, c.sign AS amount
    FROM ({changes}) c JOIN annotate_videopair p ON p.id = c.pair_id AND p.gold_verdicts IS NULL
"""
PREFERENCES = """
    SELECT 'round' AS subject, p.round_id AS subject_id, 'state.' || x.joint_state AS name, 0 AS annotator_id,
        NULL::date AS day, x.sign AS amount
    FROM ({changes}) x JOIN annotate_videopair p ON p.id = x.pair_id AND p.gold_verdicts IS NULL
"""

REFERENCES = """
    SELECT 'site' AS subject, 0 AS subject_id, c.name, 0 AS annotator_id, NULL::date AS day, r.sign AS amount
    FROM ({changes}) r
    CROSS JOIN LATERAL (
        SELECT 'references.' || r.curation
        UNION ALL SELECT 'rejected.' || reason FROM jsonb_array_elements_text(r.reject_reasons) reason
            WHERE r.curation = 'done'
    ) c (name)
"""


# References that may be used until the day on which their person's consent ends, and those that leads decided
# about. What a lead said last of one is a row of its own.
def _is_kept(said: str) -> str:
    return f"({said} = 'keep' OR {said} = 'automatic' AND r.curation = 'done' AND r.reject_reasons = '[]')"


def _said(decisions: str) -> str:
    newest = f"SELECT d.choice FROM {decisions} d WHERE d.reference_id = r.id ORDER BY d.id DESC LIMIT 1"
    return f"coalesce(({newest}), 'automatic')"


_HAS_CONSENT = "coalesce(cardinality(g.consent_uses), 0) > 0"
KEPT = f"""
    SELECT 'site' AS subject, 0 AS subject_id, c.name, 0 AS annotator_id, c.day, r.sign AS amount
    FROM ({{changes}}) r JOIN annotate_identitygroup g ON g.id = r.group_id
    CROSS JOIN LATERAL (SELECT {_said("annotate_curationdecision")} AS choice) said
    CROSS JOIN LATERAL (VALUES
        ('usable', g.consent_expires_on, {_HAS_CONSENT} AND {_is_kept("said.choice")}),
        ('by_hand', NULL::date, said.choice <> 'automatic')
    ) c (name, day, counts)
    WHERE c.counts
"""
CONSENTS = f"""
    SELECT 'site' AS subject, 0 AS subject_id, 'usable' AS name, 0 AS annotator_id,
        g.consent_expires_on AS day, g.sign AS amount
    FROM ({{changes}}) g JOIN annotate_reference r ON r.group_id = g.id
    WHERE {_HAS_CONSENT} AND {_is_kept(_said("annotate_curationdecision"))}
"""
_SAID_BEFORE = """(
    SELECT reference_id, id, choice FROM annotate_curationdecision
    WHERE id NOT IN (SELECT id FROM ({changes}) d WHERE d.sign = 1)
    UNION ALL SELECT reference_id, id, choice FROM ({changes}) d WHERE d.sign = -1
)"""
DECISIONS = f"""
    SELECT 'site' AS subject, 0 AS subject_id, c.name, 0 AS annotator_id, c.day,
        c.now::int - c.before::int AS amount
    FROM annotate_reference r JOIN annotate_identitygroup g ON g.id = r.group_id
    CROSS JOIN LATERAL (
        SELECT {_said("annotate_curationdecision")} AS now, {_said(_SAID_BEFORE)} AS before
    ) said
    CROSS JOIN LATERAL (VALUES
        ('usable', g.consent_expires_on, {_HAS_CONSENT} AND {_is_kept("said.now")},
            {_HAS_CONSENT} AND {_is_kept("said.before")}),
        ('by_hand', NULL::date, said.now <> 'automatic', said.before <> 'automatic')
    ) c (name, day, now, before)
    WHERE r.id IN (SELECT reference_id FROM ({{changes}}) d)
"""
PEOPLE = """
    SELECT 'site' AS subject, 0 AS subject_id, 'people' AS name, 0 AS annotator_id, NULL::date AS day,
        g.sign AS amount
    FROM ({changes}) g
"""

#: Table -> what is counted of all of its rows.
RECOUNTED = {
    "annotate_slot": (SLOTS, JUDGED_IN_FULL),
    "annotate_videopair": (PAIRS, INSTANCES, SHOWN_SAMPLES),
    "annotate_videosample": (SAMPLES,),
    "annotate_judgment": (JUDGMENTS,),
    "annotate_consensus": (CONSENSUSES,),
    "annotate_preferencepair": (PREFERENCES,),
    "annotate_reference": (REFERENCES, KEPT),
    "annotate_identitygroup": (PEOPLE,),
}


def recounted() -> str:
    """Every count anew, as a query whose rows are tallies."""
    counted = [
        count.format(changes=f"SELECT 1 AS sign, * FROM {table}")
        for table, counts in RECOUNTED.items()
        for count in counts
    ]
    return " UNION ALL ".join(f"({query})" for query in counted)
