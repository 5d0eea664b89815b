"""Celery jobs of curation."""

from __future__ import annotations

from celery import shared_task

from annotate.jobs.sending import send
from annotate.people import curation


@shared_task
def curate_reference(reference_id: int) -> None:
    """Examine one reference; a second delivery of the same id does nothing."""
    curation.curate_reference(reference_id)


def send_curations(reference_ids: list[int]) -> None:
    """Hand queued references to the workers once the transaction that queued them has ended."""
    for reference_id in reference_ids:
        send(curate_reference, reference_id)


@shared_task
def requeue_lost_curations() -> None:
    for reference_id in curation.QUEUE.requeue_lost():
        curate_reference.delay(reference_id)
