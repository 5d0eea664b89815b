"""Celery jobs of files of judgments."""

from __future__ import annotations

from uuid import uuid4

from celery import shared_task

from annotate.exports import downloads
from annotate.jobs.sending import send
from annotate.models import JudgmentFile


@shared_task
def write_judgment_file(file_id: int) -> None:
    """Write a file; a second delivery of the same id does nothing."""
    downloads.write_file(file_id, uuid4())


def send_judgment_file(file: JudgmentFile) -> None:
    """Hand a queued file to a worker once the transaction that queued it has ended."""
    send(write_judgment_file, file.pk)


@shared_task
def tidy_files() -> None:
    """Begin lost files again, and remove what has had its days."""
    for file_id in downloads.QUEUE.requeue_lost():
        write_judgment_file.delay(file_id)
    downloads.remove_expired_files()
