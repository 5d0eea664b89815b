"""Celery jobs of user studies."""

from __future__ import annotations

from celery import shared_task

from annotate.jobs.sending import send
from annotate.models import Study
from annotate.studies import media as study_media


@shared_task
def store_media(study_id: int) -> None:
    """Store what a study shows; a second delivery of the same id does nothing."""
    study_media.store_media(Study.objects.get(pk=study_id))


def send_study(study: Study) -> None:
    """Hand a study to a worker once the transaction that made it has ended."""
    send(store_media, study.pk)
