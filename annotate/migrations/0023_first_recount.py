"""What is there already is counted once; from then on the triggers of the migration before keep the counts."""

from django.db import migrations

# As it was when this was written: what is counted later is counted by a later migration.
_COUNT = """
INSERT INTO annotate_tally (subject, subject_id, name, annotator_id, day, amount)
SELECT subject, subject_id, name, annotator_id, day, sum(counted) - sum(kept) FROM (
    SELECT subject, subject_id, name, annotator_id, day, amount AS counted, 0 AS kept FROM ((
    SELECT c.subject, c.subject_id, c.name, c.annotator_id, c.day, s.sign AS amount FROM (SELECT 1 AS sign, * FROM annotate_slot) s
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
) UNION ALL (
    SELECT 'round' AS subject, p.round_id AS subject_id, 'judged_in_full' AS name, 0 AS annotator_id,
        NULL::date AS day,
        (now.slots > 0 AND now.waiting = 0)::int
            - (now.slots - s.slots > 0 AND now.waiting - s.waiting = 0)::int AS amount
    FROM (SELECT pair_id, sum(sign) AS slots, sum(sign) FILTER (WHERE judged_at IS NULL) AS waiting
          FROM (SELECT 1 AS sign, * FROM annotate_slot) changed GROUP BY pair_id) changed
    CROSS JOIN LATERAL (VALUES (changed.slots, coalesce(changed.waiting, 0))) s (slots, waiting)
    JOIN annotate_videopair p ON p.id = changed.pair_id AND p.gold_verdicts IS NULL
    CROSS JOIN LATERAL (SELECT count(*) AS slots, count(*) FILTER (WHERE judged_at IS NULL) AS waiting
                        FROM annotate_slot WHERE pair_id = changed.pair_id) now
) UNION ALL (
    SELECT c.subject, c.subject_id, c.name, c.annotator_id, c.day, p.sign AS amount FROM (SELECT 1 AS sign, * FROM annotate_videopair) p
    CROSS JOIN LATERAL (VALUES
        ('round', p.round_id, 'pairs', 0, NULL::date, true),
        ('round', p.round_id, 'withheld', 0, NULL::date, p.prompt_unread <> '')
    ) c (subject, subject_id, name, annotator_id, day, counts)
    WHERE c.counts AND p.gold_verdicts IS NULL
) UNION ALL (
    SELECT 'round' AS subject, changed.round_id AS subject_id, 'instances' AS name, 0 AS annotator_id,
        NULL::date AS day, (now.pairs > 0)::int - (now.pairs - changed.pairs > 0)::int AS amount
    FROM (SELECT round_id, instance_id, sum(sign) AS pairs FROM (SELECT 1 AS sign, * FROM annotate_videopair) p
          WHERE gold_verdicts IS NULL GROUP BY round_id, instance_id) changed
    CROSS JOIN LATERAL (SELECT count(*) AS pairs FROM annotate_videopair p WHERE p.round_id = changed.round_id
                        AND p.instance_id = changed.instance_id AND p.gold_verdicts IS NULL) now
) UNION ALL (
    SELECT 'round' AS subject, changed.round_id AS subject_id, c.name, 0 AS annotator_id, NULL::date AS day,
        ((now.pairs > 0)::int - (now.pairs - changed.pairs > 0)::int) * c.counts::int AS amount
    FROM (SELECT p.round_id, side.sample_id, sum(p.sign) AS pairs FROM (SELECT 1 AS sign, * FROM annotate_videopair) p
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
) UNION ALL (
    SELECT 'version' AS subject, s.model_version_id AS subject_id, 'samples' AS name, 0 AS annotator_id,
        NULL::date AS day, s.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_videosample) s WHERE s.path <> ''
) UNION ALL (
    SELECT 'round' AS subject, s.round_id AS subject_id,
        c.name || CASE WHEN j.is_simulated THEN '.simulated' ELSE '.people' END AS name, 0 AS annotator_id,
        NULL::date AS day, j.sign * c.amount AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_judgment) j JOIN annotate_slot s ON s.id = j.slot_id
    CROSS JOIN LATERAL (VALUES ('judgments', 1::bigint), ('judgment_keys', j.id)) c (name, amount)
) UNION ALL (
    SELECT 'round' AS subject, p.round_id AS subject_id, 'resolved.' || c.track AS name, 0 AS annotator_id,
        NULL::date AS day, c.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_consensus) c JOIN annotate_videopair p ON p.id = c.pair_id AND p.gold_verdicts IS NULL
) UNION ALL (
    SELECT 'round' AS subject, p.round_id AS subject_id, 'state.' || x.joint_state AS name, 0 AS annotator_id,
        NULL::date AS day, x.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_preferencepair) x JOIN annotate_videopair p ON p.id = x.pair_id AND p.gold_verdicts IS NULL
) UNION ALL (
    SELECT 'site' AS subject, 0 AS subject_id, c.name, 0 AS annotator_id, NULL::date AS day, r.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_reference) r
    CROSS JOIN LATERAL (
        SELECT 'references.' || r.curation
        UNION ALL SELECT 'rejected.' || reason FROM jsonb_array_elements_text(r.reject_reasons) reason
            WHERE r.curation = 'done'
    ) c (name)
) UNION ALL (
    SELECT 'site' AS subject, 0 AS subject_id, c.name, 0 AS annotator_id, c.day, r.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_reference) r JOIN annotate_identitygroup g ON g.id = r.group_id
    CROSS JOIN LATERAL (SELECT coalesce((SELECT d.choice FROM annotate_curationdecision d WHERE d.reference_id = r.id ORDER BY d.id DESC LIMIT 1), 'automatic') AS choice) said
    CROSS JOIN LATERAL (VALUES
        ('usable', g.consent_expires_on, coalesce(cardinality(g.consent_uses), 0) > 0 AND (said.choice = 'keep' OR said.choice = 'automatic' AND r.curation = 'done' AND r.reject_reasons = '[]')),
        ('by_hand', NULL::date, said.choice <> 'automatic')
    ) c (name, day, counts)
    WHERE c.counts
) UNION ALL (
    SELECT 'site' AS subject, 0 AS subject_id, 'people' AS name, 0 AS annotator_id, NULL::date AS day,
        g.sign AS amount
    FROM (SELECT 1 AS sign, * FROM annotate_identitygroup) g
)) counted
    UNION ALL SELECT subject, subject_id, name, annotator_id, day, 0, amount FROM annotate_tally
) both_sides GROUP BY subject, subject_id, name, annotator_id, day HAVING sum(counted) <> sum(kept)
"""


class Migration(migrations.Migration):

    dependencies = [
        ("annotate", "0022_tallies"),
    ]

    operations = [migrations.RunSQL(_COUNT, migrations.RunSQL.noop)]
