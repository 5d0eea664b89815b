"""`pairs_a_person` becomes `pairs_per_person`, with the constraints that name it."""

from django.db import migrations, models

RANGE = {"judgingwork": "annotate_judgingwork_pairs_in_range", "study": "annotate_study_pairs_in_range"}


class Migration(migrations.Migration):

    dependencies = [
        ("annotate", "0015_stages_from_the_table"),
    ]

    operations = [
        operation
        for model, name in RANGE.items()
        for operation in (
            migrations.RemoveConstraint(model_name=model, name=name),
            migrations.RenameField(model_name=model, old_name="pairs_a_person", new_name="pairs_per_person"),
            migrations.AddConstraint(
                model_name=model,
                constraint=models.CheckConstraint(
                    condition=models.Q(("pairs_per_person__gte", 1), ("pairs_per_person__lte", 500)),
                    name=name,
                ),
            ),
        )
    ]
