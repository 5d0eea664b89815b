from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone


def retire(apps: Apps, schema: BaseDatabaseSchemaEditor) -> None:
    """Copies made before could be told from other videos; `make_gold` makes new ones. Training may be known."""
    gold = apps.get_model("annotate", "GoldPair")
    gold.objects.filter(retired_at=None, is_training=False).update(retired_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("annotate", "0007_unrecognisable_gold")]

    # Which of them were retired by a lead is not known afterwards; going back leaves all of them retired.
    operations = [migrations.RunPython(retire, migrations.RunPython.noop)]
