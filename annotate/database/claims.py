"""Hold a work alone: one statement takes it on the database's clock, and a crash frees it by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from django.db import connection

from annotate.database.patience import patiently

#: How long a claim lasts that nobody renews, and how often it is renewed.
LASTS_S, RENEW_S = 60.0, 15.0

_TAKE = """
INSERT INTO annotate_claim (name, worker, expires_at)
VALUES (%(name)s, %(worker)s, statement_timestamp() + make_interval(secs => %(lasts_s)s))
ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, expires_at = excluded.expires_at
WHERE annotate_claim.expires_at < statement_timestamp() OR annotate_claim.worker = excluded.worker
"""
_LEAVE = "DELETE FROM annotate_claim WHERE name = %(name)s AND worker = %(worker)s"


@contextmanager
def hold(name: str) -> Iterator[bool]:
    """Whether nobody else is at this work; while the block runs, nobody else can begin it.

    The work itself must be safe to repeat: a process that stands still for a minute has lost its claim.
    """
    worker = uuid4()
    if not _take(name, worker):
        yield False
        return
    try:
        with renewing(lambda: _take(name, worker), RENEW_S):
            yield True
    finally:
        # A connection that is lost, or a transaction that is to be rolled back, leaves it to the clock.
        if connection.is_usable() and not connection.needs_rollback:
            _execute(_LEAVE, name, worker)


@contextmanager
def renewing(renew: Callable[[], object], every_s: float) -> Iterator[None]:
    """Say again and again that the worker is alive, from a thread of its own.

    A database that is away is waited for, so that a short restart costs nobody's work.
    """
    is_over = threading.Event()

    def keep_on() -> None:
        try:
            while not is_over.wait(every_s):
                patiently(renew)
        finally:
            connection.close()  # Of this thread.

    thread = threading.Thread(target=keep_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _take(name: str, worker: UUID) -> bool:
    return bool(_execute(_TAKE, name, worker))


def _execute(statement: str, name: str, worker: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"name": name, "worker": worker, "lasts_s": LASTS_S})
        return int(cursor.rowcount)
