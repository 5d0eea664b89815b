"""Celery jobs of judging."""

from __future__ import annotations

from celery import shared_task

from annotate.judging import vote_fits as statistics
from annotate.models import Round


@shared_task
def fit_votes() -> None:
    """Learn from the votes of every open round that stops by probability."""
    for round in Round.objects.filter(is_open=True, stopping__isnull=False).order_by("id"):
        statistics.fit_round(round)
