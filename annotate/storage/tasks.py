"""Celery jobs of storages."""

from __future__ import annotations

from celery import shared_task

from annotate.storage import leased_copies
from annotate.storage.opening import site_storage


@shared_task
def remove_leased_copies() -> None:
    """Remove what was copied for leases that have ended."""
    leased_copies.remove_leased_copies(site_storage())
