"""Celery jobs of rounds."""

from __future__ import annotations

from celery import shared_task
from django.core.cache import cache

from annotate.rounds import display_copies, prompt_limits

#: Display copies that one task writes, and how long at most it is taken to be at it.
COPIES_PER_BATCH, COPYING_S = 100, 900


@shared_task
def write_display_copies() -> None:
    """Give videos of earlier versions the copies that people are shown, one worker at a time."""
    if cache.add("write-display-copies", True, timeout=COPYING_S):
        try:
            display_copies.write_missing_copies(at_most=COPIES_PER_BATCH)
        finally:
            cache.delete("write-display-copies")


@shared_task
def learn_limits() -> None:
    prompt_limits.learn_limits()
