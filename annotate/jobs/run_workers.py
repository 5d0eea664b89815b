"""Workers that take whole runs, and how many devices each has."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from annotate.models import RunWorker

#: How long a worker counts as there after it said so.
GONE_AFTER = timedelta(seconds=60)


def announce(name: str, devices: int, description: str) -> None:
    RunWorker.objects.update_or_create(
        name=name, defaults={"devices": devices, "description": description, "heartbeat_at": Now()}
    )
    RunWorker.objects.filter(heartbeat_at__lt=Now() - timedelta(days=1)).delete()


def present() -> QuerySet[RunWorker]:
    """Who said lately that it is there, the largest first."""
    return RunWorker.objects.filter(heartbeat_at__gt=Now() - GONE_AFTER)
