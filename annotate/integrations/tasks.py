"""Celery jobs of the programmatic doors: webhooks out, files of judgments."""

from __future__ import annotations

from uuid import uuid4

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from annotate.exports import downloads
from annotate.integrations import queries as door_queries
from annotate.integrations import webhooks
from annotate.models import JudgmentFile, WebhookEndpoint


@shared_task
def send_webhooks() -> None:
    """Every few seconds: a job for each endpoint that has something to be told."""
    for endpoint_id in door_queries.due_endpoints():
        deliver_due.apply_async((endpoint_id,), expires=60)


@shared_task(soft_time_limit=60)
def deliver_due(endpoint_id: int) -> None:
    """Send what is due to one endpoint; one that answers a byte now and then holds no worker for long."""
    try:
        webhooks.deliver_due(endpoint_id)
    except SoftTimeLimitExceeded:
        webhooks.let_rest(WebhookEndpoint.objects.get(pk=endpoint_id))


@shared_task
def write_judgment_file(file_id: int) -> None:
    """Write a file; a second delivery of the same id does nothing."""
    downloads.write_file(file_id, uuid4())


def send_judgment_file(file: JudgmentFile) -> None:
    """Hand a queued file to a worker once the transaction that queued it has ended."""
    write_judgment_file.delay_on_commit(file.pk)  # type: ignore[attr-defined]


@shared_task
def tidy_doors() -> None:
    """Begin lost files again, and remove what has had its days."""
    for file_id in downloads.requeue_lost_files():
        write_judgment_file.delay(file_id)
    downloads.remove_expired_files()
    webhooks.remove_old_messages()
