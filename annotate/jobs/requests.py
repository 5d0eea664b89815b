"""What every request of a run has in common: models and references, by their places in the storage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.database.batches import BATCH
from annotate.models import InstanceReference, ModelVersion
from generator.rundir import RunDir

#: What a request says of a reference, and what else finds it.
_OF_PLACE = ("instance", "position", "recipe", "kind", "path", "reference__kind", "reference__path")


def model_request(version: ModelVersion, folder: RunDir) -> dict[str, Any]:
    base = Path(version.base_model)
    return {
        "base": str(base.resolve()) if base.exists() else version.base_model,
        "adapters": [_adapter_request(one, weight, folder) for one, weight in version.adapters()],
    }


def _adapter_request(version: ModelVersion, weight: float, folder: RunDir) -> str | dict[str, Any]:
    place = folder.relative(settings.STORAGE_ROOT / version.adapter_path)
    return place if weight == 1 else {"path": place, "weight": weight}


def references_requests(instances: Iterable[int], folder: RunDir) -> dict[int, list[dict[str, str]]]:
    """What each of these instances shows, in order."""
    requests: dict[int, list[dict[str, str]]] = {instance: [] for instance in instances}
    places = InstanceReference.objects.filter(instance__in=[*requests]).exclude(position=None)
    places = places.select_related("reference").only(*_OF_PLACE)
    storage = folder.relative(settings.STORAGE_ROOT)
    for place in places.order_by("instance_id", "position").iterator(chunk_size=BATCH):
        shown = place.shown
        requests[place.instance_id].append({"path": f"{storage}/{shown.path}", "kind": shown.kind})
    return requests
