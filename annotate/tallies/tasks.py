"""Celery jobs of tallies."""

from __future__ import annotations

from celery import shared_task

from annotate.tallies import recount


@shared_task
def fold_tallies() -> None:
    recount.fold()
