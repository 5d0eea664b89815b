"""Celery jobs of user studies."""

from __future__ import annotations

from celery import shared_task

from annotate.models import Study
from annotate.services import studies


@shared_task
def store_videos(study_id: int) -> None:
    """Store the videos of a study; a second delivery of the same id does nothing."""
    studies.store_videos(Study.objects.get(pk=study_id))


def send_study(study: Study) -> None:
    """Hand a study to a worker once the transaction that made it has ended."""
    store_videos.delay_on_commit(study.pk)  # type: ignore[attr-defined]
