"""Webhooks: endpoints, and the delivery of what triggers put into their outbox (`models/webhook.py`).

Messages of an endpoint are tried first in the order of their events, one at a time. One that is refused is
tried again later and does not hold up those behind it, so their order is then another.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from random import uniform
from time import monotonic

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook

from annotate.core.audit import record_event
from annotate.core.outgoing import check_url, post
from annotate.database import clock
from annotate.database.claims import hold
from annotate.integrations.queries import dead_messages, due_messages
from annotate.models import User, WebhookEndpoint, WebhookEvent, WebhookMessage

#: After so many refusals a message is dead, which takes about 18 hours; a lead can send it again.
MAX_ATTEMPTS = 12
_FIRST_WAIT_S = 8.0
_LONGEST_WAIT_S = 3 * 3600.0
#: A refusing endpoint is left alone for as long as its messages are, but tried again within five minutes.
_LONGEST_REST_S = 300.0
#: One job sends so many messages to an endpoint, for so long, then lets other jobs have their turn.
BATCH, BATCH_S = 100, 20.0


@transaction.atomic
def add_endpoint(url: str, events: Sequence[str], actor: User) -> WebhookEndpoint:
    """Tell an address of events from now on. Its secret is shown once, by whoever calls this.

    Raises:
        ValueError: an event is unknown or none is named, or the address cannot be used.
    """
    unknown = sorted(set(events) - set(WebhookEvent.values))
    if unknown or not events:
        said = f"{unknown[0]!r} is no event" if unknown else "no event is chosen"
        raise ValueError(f"{said}; choose from: {', '.join(WebhookEvent.values)}")
    check_url(url)
    endpoint = WebhookEndpoint.objects.create(
        url=url,
        secret=f"whsec_{b64encode(secrets.token_bytes(32)).decode()}",
        events=sorted(set(events)),
        created_by=actor,
    )
    record_event("add_webhook", endpoint, actor=actor, url=url, events=endpoint.events)
    return endpoint


@transaction.atomic
def end_endpoint(endpoint: WebhookEndpoint, actor: User | None = None) -> bool:
    """Tell an address nothing more; what waited for it is given up. False when it had ended."""
    ended = WebhookEndpoint.objects.filter(pk=endpoint.pk, ended_at=None).update(ended_at=Now())
    if ended:
        endpoint.messages.filter(next_attempt_at__isnull=False).update(next_attempt_at=None)
        record_event("end_webhook", endpoint, actor=actor)
    return bool(ended)


def send_again(message: WebhookMessage, actor: User) -> bool:
    """Give a dead message all its attempts again, under its old number; False when it is not dead."""
    sent = dead_messages(message.endpoint).filter(pk=message.pk).update(attempts=0, next_attempt_at=Now())
    if sent:
        record_event("resend_webhook", message, actor=actor)
    return bool(sent)


def deliver_due(endpoint_id: int) -> int:
    """Send what is due to one endpoint until it refuses something; how many it took.

    One worker at a time, so that messages leave in order; a second one does nothing.
    """
    began = monotonic()
    with hold(f"webhook {endpoint_id}") as is_alone:
        for count in range(BATCH if is_alone else 0):
            message = _claim(endpoint_id) if monotonic() - began < BATCH_S else None
            if message is None or not _deliver(message):
                return count
    return BATCH if is_alone else 0


def _claim(endpoint_id: int) -> WebhookMessage | None:
    """Take the next due message, as refused until it is known to be taken: its worker may be killed."""
    message = due_messages().filter(endpoint_id=endpoint_id).select_related("endpoint").first()
    if message is None:
        return None
    message.attempts += 1
    wait = timedelta(seconds=wait_s(message.attempts))
    message.next_attempt_at = clock.now() + wait if message.attempts < MAX_ATTEMPTS else None
    message.answer = "no answer yet"
    message.save(update_fields=["attempts", "next_attempt_at", "answer"])
    return message


def wait_s(attempts: int) -> float:
    """How long after its n-th refusal a message waits: four times as long each time, spread by a quarter."""
    wait = min(_FIRST_WAIT_S * 4.0 ** min(attempts - 1, 20), _LONGEST_WAIT_S)
    return wait * uniform(0.75, 1.25)


def _deliver(message: WebhookMessage) -> bool:
    endpoint = message.endpoint
    answer = post(endpoint.url, body_of(message), signed_headers(message))
    told = WebhookMessage.objects.filter(pk=message.pk)
    if answer.is_taken:
        told.update(delivered_at=Now(), next_attempt_at=None, answer=answer.message)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).exclude(failures=0).update(
            failures=0, resting_until=None
        )
        return True
    told.update(answer=answer.message)
    if answer.status == 410:
        end_endpoint(endpoint)  # Gone for ever, it says.
    else:
        let_rest(endpoint)
    return False


def let_rest(endpoint: WebhookEndpoint) -> None:
    """Leave a refusing endpoint alone for a while, longer each time."""
    rest = min(wait_s(endpoint.failures + 1), _LONGEST_REST_S)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        failures=F("failures") + 1, resting_until=Now() + timedelta(seconds=rest)
    )


def body_of(message: WebhookMessage) -> bytes:
    """The same bytes at every try."""
    content = {
        "type": message.event,
        "timestamp": message.created_at.isoformat(),
        "data": message.data,
    }
    return json.dumps(content, sort_keys=True).encode()


def signed_headers(message: WebhookMessage) -> dict[str, str]:
    """Standard Webhooks: HMAC-SHA256 over number, time and body."""
    now, number = clock.now(), f"msg_{message.number.hex}"
    return {
        "content-type": "application/json",
        "user-agent": "anyid-preference",
        "webhook-id": number,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(message.endpoint.secret).sign(number, now, body_of(message).decode()),
    }


def remove_old_messages() -> int:
    """Forget what was delivered long ago. Safe to repeat."""
    old = Now() - timedelta(days=settings.DOWNLOAD_DAYS)
    gone, _ = WebhookMessage.objects.filter(delivered_at__lt=old).delete()
    return gone
