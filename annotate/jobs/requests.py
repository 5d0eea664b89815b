"""What every request of a run has in common: models and references, by their places in the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import InstanceReference, ModelVersion
from generator.rundir import RunDir


def model_request(version: ModelVersion, folder: RunDir) -> dict[str, Any]:
    base = Path(version.base_model)
    return {
        "base": str(base.resolve()) if base.exists() else version.base_model,
        "adapters": [_adapter_request(one, weight, folder) for one, weight in version.adapters()],
    }


def _adapter_request(version: ModelVersion, weight: float, folder: RunDir) -> str | dict[str, Any]:
    place = folder.relative(settings.STORAGE_ROOT / version.adapter_path)
    return place if weight == 1 else {"path": place, "weight": weight}


def references_request(instance_id: int, folder: RunDir) -> list[dict[str, str]]:
    places = InstanceReference.objects.filter(instance_id=instance_id).exclude(position=None)
    return [
        {"path": folder.relative(settings.STORAGE_ROOT / place.shown.path), "kind": place.shown.kind}
        for place in places.select_related("reference").order_by("position")
    ]
