"""Drawn people agree to every use, since they are nobody. Of everybody else the uses stay unknown."""

from django.db import migrations
from django.db.models.functions import Now


def state_consent(apps, schema_editor):
    people = apps.get_model("annotate", "IdentityGroup")
    people.objects.filter(truth__isnull=False, consent_uses=None).update(
        consent_uses=["show", "train", "evaluate", "publish"],
        consent_stated_in="the portrait world",
        consent_stated_at=Now(),
    )


class Migration(migrations.Migration):
    dependencies = [("annotate", "0004_consent_uses")]

    operations = [migrations.RunPython(state_consent, migrations.RunPython.noop)]
