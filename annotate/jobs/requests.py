"""What every request of a run has in common: models and references, by their places in the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import InstanceReference, ModelVersion
from generator.rundir import RunDir


def adapters_of(version: ModelVersion) -> list[str]:
    """The adapter folders of a version, oldest first, from its whole line of parents."""
    paths: list[str] = []
    step: ModelVersion | None = version
    while step is not None:
        if step.adapter_path:
            paths.insert(0, step.adapter_path)
        step = step.parent
    return paths


def model_request(version: ModelVersion, folder: RunDir) -> dict[str, Any]:
    base = Path(version.base_model)
    return {
        "base": str(base.resolve()) if base.exists() else version.base_model,
        "adapters": [folder.relative(settings.STORAGE_ROOT / path) for path in adapters_of(version)],
    }


def references_request(instance_id: int, folder: RunDir) -> list[dict[str, str]]:
    places = InstanceReference.objects.filter(instance_id=instance_id).exclude(position=None)
    return [
        {"path": folder.relative(settings.STORAGE_ROOT / place.shown.path), "kind": place.shown.kind}
        for place in places.select_related("reference").order_by("position")
    ]
