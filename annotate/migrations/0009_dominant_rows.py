"""Pairs that an earlier version called dominant without two verdicts for one video become undecided.

Rounds that stop by probability did so where half of a track's votes were abstentions. The row stays, its
reason names the exports that hold it, and the next step of its round looks at its votes again.
"""

from django.db import migrations

_UNDO = """
WITH wrong AS (
    SELECT x.id,
        (SELECT string_agg(e.export_id::text, ', ' ORDER BY e.export_id)
         FROM annotate_export_pairs e WHERE e.preferencepair_id = x.id) AS exports,
        (SELECT string_agg(c.track || ' ' || replace(c.verdict, '_', ' '), ' and ' ORDER BY c.track DESC)
         FROM annotate_consensus c WHERE c.pair_id = x.pair_id) AS verdicts
    FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id
    WHERE x.joint_state = 'dominant' AND (
        x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)
        OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id
                 AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))
)
UPDATE annotate_preferencepair x SET
    joint_state = 'undecided', chosen_id = NULL, rejected_id = NULL, stop = '',
    reason = left('an earlier version called this pair dominant, though the verdicts are '
        || coalesce(wrong.verdicts, 'missing') || coalesce('; held by export ' || wrong.exports, ''), 300)
FROM wrong WHERE x.id = wrong.id
RETURNING x.pair_id, wrong.exports
"""


def undo_dominant(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_UNDO)
        for pair, exports in sorted(cursor.fetchall()):
            held = f"; held by export {exports}: make it again" if exports else ""
            print(
                f"\n    pair {pair} was dominant without two verdicts for one video; undecided now{held}",
                end="",
            )


class Migration(migrations.Migration):
    dependencies = [("annotate", "0008_retire_recognisable_gold")]

    # Going back leaves the rows as they are: undecided is right in the earlier version, too.
    operations = [migrations.RunPython(undo_dominant, migrations.RunPython.noop)]
