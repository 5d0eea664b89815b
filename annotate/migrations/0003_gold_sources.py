"""Gold copies say what they were written from; those of which nobody knows it any more are taken out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from django.db import migrations
from django.utils import timezone


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def name_sources(apps: Any, schema_editor: Any) -> None:
    """Copies in impostor pairs show another person than the pair is about; the others need no source."""
    pairs = apps.get_model("annotate", "VideoPair").objects
    for pair in pairs.filter(gold__kind="impostor").select_related("gold", "first", "second").iterator():
        found = _sources(apps, pair)
        if found is None:
            _take_out(apps, pair)
            continue
        for copy, source in zip((pair.first, pair.second), found, strict=True):
            copy.copy_of_id = source
            copy.save(update_fields=["copy_of"])


def _sources(apps: Any, pair: Any) -> tuple[int, int] | None:
    """What both videos were written from: the pair for which their keys come out."""
    for right, other in _candidates(apps, pair):
        key = _digest(pair.round_id, pair.gold.kind, pair.gold.track, right, other)
        if pair.first.settings_digest == _digest(key, 0):
            return (right, other) if int(key[:8], 16) % 2 == 0 else (other, right)
    return None


def _candidates(apps: Any, pair: Any) -> Iterator[tuple[int, int]]:
    pairs = apps.get_model("annotate", "VideoPair").objects.filter(round=pair.round_id, gold=None)
    rights = list(pairs.filter(instance=pair.instance_id).values_list("first", flat=True))
    for other in pairs.exclude(instance=pair.instance_id).values_list("second", flat=True).iterator():
        yield from ((right, other) for right in rights)


def _take_out(apps: Any, pair: Any) -> None:
    """Its source is gone, so it may show a person who was erased: nobody is shown it again."""
    apps.get_model("annotate", "GoldPair").objects.filter(pair=pair.pk).update(retired_at=timezone.now())
    videos = apps.get_model("annotate", "VideoSample").objects.filter(pk__in=[pair.first_id, pair.second_id])
    removals = apps.get_model("annotate", "FileRemoval").objects
    removals.bulk_create(
        removals.model(path=path) for path in videos.exclude(path="").values_list("path", flat=True)
    )
    videos.update(path="", sha256="")


class Migration(migrations.Migration):
    dependencies = [("annotate", "0002_file_removals")]
    operations = [migrations.RunPython(name_sources, migrations.RunPython.noop)]
