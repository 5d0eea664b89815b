"""Celery jobs of the numbers for leads: figures that take long, and pairs to resolve again."""

from __future__ import annotations

import logging

from celery import shared_task

from annotate.jobs.sending import send
from annotate.models import Disqualification, Round
from annotate.quality import disqualification as quality
from annotate.quality import vote_statistics
from annotate.quality.queries import rounds_with_votes

logger = logging.getLogger(__name__)


@shared_task
def refresh_figures() -> None:
    """Every few minutes: a job for each round; one without new votes ends at once."""
    for round_id in rounds_with_votes().values_list("pk", flat=True):
        compute_figures.apply_async((round_id,), expires=300)


@shared_task
def compute_figures(round_id: int) -> None:
    round = Round.objects.filter(pk=round_id).first()
    if round is not None:
        vote_statistics.compute_round(round)


def send_figures(round: Round) -> None:
    send(compute_figures, round.pk)


@shared_task
def settle_disqualification(disqualification_id: int) -> None:
    """Resolve what somebody's votes touched; a second delivery of the same id does nothing."""
    quality.settle(disqualification_id)


@shared_task
def settle_all() -> None:
    """Go on with what a killed worker left."""
    for pk in Disqualification.objects.filter(settled_at=None).values_list("pk", flat=True):
        settle_disqualification.delay(pk)
