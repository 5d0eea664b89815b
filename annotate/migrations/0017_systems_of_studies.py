"""What a study compares is called a system, as everywhere else."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("annotate", "0016_pairs_per_person"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="studymodel", name="one_model_an_arm"),
        migrations.RenameField(model_name="studymodel", old_name="arm", new_name="system"),
        migrations.AddConstraint(
            model_name="studymodel",
            constraint=models.UniqueConstraint(fields=["study", "system"], name="one_model_per_system"),
        ),
    ]
