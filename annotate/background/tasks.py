"""Celery jobs of what pages ask for."""

from __future__ import annotations

from uuid import uuid4

from celery import shared_task

from annotate.background import jobs
from annotate.jobs.sending import send
from annotate.jobs.tasks import send_run
from annotate.models import Job


@shared_task
def do_job(job_id: int) -> None:
    """Do a job; a second delivery of the same id does nothing."""
    send_run(jobs.do(job_id, uuid4()))


def send_job(job: Job) -> None:
    """Hand a queued job to a worker once the transaction that queued it has ended."""
    send(do_job, job.pk)


@shared_task
def requeue_lost_jobs() -> None:
    for job_id in jobs.QUEUE.requeue_lost():
        do_job.delay(job_id)
    jobs.remove_old_looks()
