from django.db import migrations


def close_what_is_not_open(apps, schema_editor):
    apps.get_model("annotate", "Round").objects.filter(is_open=False).update(state="closed")


def open_what_is_open(apps, schema_editor):
    """An earlier version knows no pause: such a round gives out nothing there, too."""
    apps.get_model("annotate", "Round").objects.exclude(state="open").update(is_open=False)


class Migration(migrations.Migration):
    dependencies = [("annotate", "0010_round_state")]

    operations = [migrations.RunPython(close_what_is_not_open, open_what_is_open)]
