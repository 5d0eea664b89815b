"""Celery jobs of the integrations: webhooks out, files of judgments."""

from __future__ import annotations

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from annotate.integrations import queries as door_queries
from annotate.integrations import webhooks
from annotate.models import WebhookEndpoint


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
def remove_old_messages() -> None:
    webhooks.remove_old_messages()
