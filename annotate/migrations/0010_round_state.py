from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0009_dominant_rows")]

    operations = [
        migrations.AddField("round", "draw", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("round", "state", models.CharField(default="open", max_length=16)),
    ]
