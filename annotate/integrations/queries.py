"""Reads of the integrations: files of judgments, webhooks, entry links."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from annotate.models import User, WebhookEndpoint, WebhookMessage


def visible_endpoints(user: User) -> QuerySet[WebhookEndpoint]:
    """Endpoints that are still told things, with how many messages are in which state."""
    waiting = Q(messages__next_attempt_at__isnull=False)
    delivered = Q(messages__delivered_at__isnull=False)
    endpoints = WebhookEndpoint.objects.filter(ended_at=None).annotate(
        num_waiting=Count("messages", filter=waiting),
        num_delivered=Count("messages", filter=delivered),
        num_dead=Count("messages", filter=~waiting & ~delivered & Q(messages__isnull=False)),
    )
    return endpoints if user.is_lead else endpoints.none()


def visible_messages(user: User) -> QuerySet[WebhookMessage]:
    messages = WebhookMessage.objects.filter(endpoint__ended_at=None).select_related("endpoint")
    return messages if user.is_lead else messages.none()


def dead_messages(endpoint: WebhookEndpoint) -> QuerySet[WebhookMessage]:
    """What was refused too often, and is sent again only by hand."""
    return WebhookMessage.objects.filter(endpoint=endpoint, delivered_at=None, next_attempt_at=None)


def due_messages() -> QuerySet[WebhookMessage]:
    """What is to be sent now, without what is for endpoints that rest after refusals."""
    rested = Q(endpoint__resting_until=None) | Q(endpoint__resting_until__lte=Now())
    due = WebhookMessage.objects.filter(rested, endpoint__ended_at=None, next_attempt_at__lte=Now())
    return due.order_by("next_attempt_at", "id")


def due_endpoints() -> list[int]:
    return list(due_messages().order_by("endpoint_id").values_list("endpoint_id", flat=True).distinct())
