"""Webhooks: where other programs want to be told what, and what is still to be sent to them.

Rows of the outbox are written by triggers, in the transaction of the event itself: no event is lost, none
is told that did not happen, and judging asks the database nothing more than it did.
"""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import check
from annotate.models.identity import User


class WebhookEvent(models.TextChoices):
    PAIR_RESOLVED = "pair.resolved"
    EXPORT_READY = "export.ready"
    ROUND_STARTED = "round.started"
    ROUND_FAILED = "round.failed"
    ROUND_FINISHED = "round.finished"


class WebhookEndpoint(models.Model):
    """An address that is told of events. Its secret signs, so it is kept as it is, and shown once."""

    url = models.CharField(max_length=500)
    secret = models.CharField(max_length=80)
    events = ArrayField(models.CharField(max_length=32))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # Refused so often in a row; until when it is left alone after that.
    failures = models.PositiveIntegerField(default=0)
    resting_until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(Q(events__contained_by=WebhookEvent.values) & ~Q(events=[]), "events_known"),
            check(Q(url__startswith="https://") | Q(url__startswith="http://"), "url_of_the_web"),
        ]

    def __str__(self) -> str:
        return f"webhook {self.pk}"


class WebhookMessage(models.Model):
    """One event for one endpoint. Its number is the same at every try, so a receiver can drop repeats."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="messages", db_index=False)
    number = models.UUIDField(unique=True)
    event = models.CharField(max_length=32)
    data = models.JSONField()
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    answer = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(~Q(delivered_at__isnull=False, next_attempt_at__isnull=False), "sent_once_delivered"),
        ]
        indexes = [
            models.Index(
                F("endpoint"),
                F("next_attempt_at"),
                F("id"),
                condition=Q(next_attempt_at__isnull=False),
                name="webhook_message_due",
            ),
            models.Index(fields=["endpoint", "-id"], name="webhook_message_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.number}"

    @property
    def state(self) -> str:
        if self.delivered_at:
            return "delivered"
        return "waiting" if self.next_attempt_at else "dead"


def announces(
    event: WebhookEvent,
    data: str,
    *,
    operation: pgtrigger.Operation,
    where: str = "true",
) -> pgtrigger.Trigger:
    """Write the event into the outbox of every endpoint that wants it, when a row of this table changes.

    `data` and `where` are SQL over NEW and OLD. Data name rows by number, never people.
    """
    return pgtrigger.Trigger(
        name=f"announces_{event.name.lower()}",
        when=pgtrigger.After,
        operation=operation,
        func=f"""
            IF {where} THEN
                INSERT INTO annotate_webhookmessage
                    (endpoint_id, number, event, data, created_at, attempts, next_attempt_at, answer)
                SELECT id, gen_random_uuid(), '{event}', {data}, now(), 0, now(), ''
                FROM annotate_webhookendpoint WHERE ended_at IS NULL AND '{event}' = ANY (events);
            END IF;
            RETURN NULL;
        """,
    )
