"""How many votes each annotator had given on an export's pairs, counted once instead of for every page."""

from django.db import migrations, models

_COUNT = """
UPDATE annotate_export x SET votes_by = coalesce((
    SELECT jsonb_object_agg(annotator_id, number) FROM (
        SELECT s.annotator_id, count(*) AS number
        FROM annotate_export_pairs e
        JOIN annotate_preferencepair p ON p.id = e.preferencepair_id
        JOIN annotate_slot s ON s.pair_id = p.pair_id AND s.judged_at IS NOT NULL
        WHERE e.export_id = x.id GROUP BY s.annotator_id
    ) given
), '{}')
"""


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0028_told_judgments_and_pairs_by_state'),
    ]

    operations = [
        migrations.AddField(
            model_name='export',
            name='votes_by',
            field=models.JSONField(db_default={}, default=dict),
        ),
        migrations.RunSQL(_COUNT, migrations.RunSQL.noop),
    ]
