"""When an answer came in by the database's clock, found quickly: an answer is not taken right after the last one."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("annotate", "0005_portraits_state_consent")]

    operations = [
        migrations.AlterField("entry", "consented_at", models.DateTimeField(db_default=Now())),
        migrations.AlterField("judgment", "created_at", models.DateTimeField(db_default=Now())),
        migrations.AlterField("studyanswer", "created_at", models.DateTimeField(db_default=Now())),
        migrations.AddIndex(
            "slot",
            models.Index(
                fields=["annotator", "track", "judged_at"],
                condition=models.Q(judged_at__isnull=False),
                name="slot_answered",
            ),
        ),
    ]
