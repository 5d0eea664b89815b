"""Reads of the programmatic doors: files of judgments, webhooks, entry links."""

from __future__ import annotations

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotate.models import (
    Entry,
    EntryLink,
    JudgmentFile,
    Slot,
    User,
    WebhookEndpoint,
    WebhookMessage,
)


def visible_files(user: User) -> QuerySet[JudgmentFile]:
    files = JudgmentFile.objects.select_related("round", "requested_by").order_by("-id")
    return files if user.is_lead else files.none()


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
    now = timezone.now()
    rested = Q(endpoint__resting_until=None) | Q(endpoint__resting_until__lte=now)
    due = WebhookMessage.objects.filter(rested, endpoint__ended_at=None, next_attempt_at__lte=now)
    return due.order_by("next_attempt_at", "id")


def due_endpoints() -> list[int]:
    return list(due_messages().order_by("endpoint_id").values_list("endpoint_id", flat=True).distinct())


def visible_links(user: User) -> QuerySet[EntryLink]:
    links = EntryLink.objects.select_related("judging__round").annotate(
        num_entered=Count("entries"), num_finished=Count("entries__finished_at")
    )
    return links.order_by("-id") if user.is_lead else links.none()


def entries_of(link: EntryLink) -> QuerySet[Entry]:
    """Who came in by a link, with how much they have judged of its work."""
    judged = (
        Slot.objects.filter(
            annotator=OuterRef("participant__account"),
            round=link.judging.round_id,
            track=link.judging.track,
            judged_at__isnull=False,
        )
        .order_by()
        .values("annotator")
        .annotate(count=Count("id"))
        .values("count")
    )
    count = Coalesce(Subquery(judged, output_field=IntegerField()), 0)
    return link.entries.select_related("participant__account").annotate(num_judged=count)
