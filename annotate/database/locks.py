"""Advisory locks that last until the transaction ends."""

from __future__ import annotations

from annotate.database.statements import rows

#: Any constant: it only has to be the same for everyone who queues runs.
_QUEUE_LOCK = 7_206_148


def take_queue(place: int) -> None:
    """Nobody else queues a run of this place until this transaction ends; those of other places go on."""
    rows("SELECT pg_advisory_xact_lock_shared(%s)", [_QUEUE_LOCK])
    rows("SELECT pg_advisory_xact_lock(%s, %s)", [_QUEUE_LOCK, place])


def hold_queue() -> None:
    """Nobody queues a run until this transaction ends."""
    rows("SELECT pg_advisory_xact_lock(%s)", [_QUEUE_LOCK])
