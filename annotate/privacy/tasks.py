"""Celery jobs of erasure."""

from __future__ import annotations

from celery import shared_task

from annotate.privacy import file_removal


@shared_task
def remove_files() -> None:
    """Take up removals that a crash or a full disk left undone."""
    file_removal.carry_out()
