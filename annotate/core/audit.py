"""The audit chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django.db import models, transaction

from annotate.database.statements import rows
from annotate.models import AuditEvent, User

#: Any constant: it only has to be the same for every writer of the chain.
_CHAIN_LOCK = 7_206_147


def event_hash(event: AuditEvent) -> str:
    """sha256 over the row and the hash of the row before it."""
    content = [
        event.previous_hash,
        event.actor_id,
        event.verb,
        event.table,
        event.row_id,
        event.detail,
        event.at.isoformat(),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def record_event(verb: str, row: models.Model, *, actor: User | None = None, **detail: Any) -> AuditEvent:
    """Append one act; writers queue for the chain until their transaction ends."""
    return record_events(verb, [(row, detail)], actor=actor)[0]


@transaction.atomic
def record_events(
    verb: str, done: Sequence[tuple[models.Model, dict[str, Any]]], *, actor: User | None = None
) -> list[AuditEvent]:
    """Append the same act on several rows, each with its detail."""
    if not done:
        return []
    _, at = rows("SELECT pg_advisory_xact_lock(%s), clock_timestamp()", [_CHAIN_LOCK])[0]
    last = AuditEvent.objects.order_by("-id").first()
    previous, events = last.hash if last else "", []
    for row, detail in done:
        about = {"table": row._meta.db_table, "row_id": row.pk, "detail": detail}
        event = AuditEvent(actor=actor, verb=verb, at=at, previous_hash=previous, **about)
        previous = event.hash = event_hash(event)
        events.append(event)
    return AuditEvent.objects.bulk_create(events)
