"""Rows that are work: claimed by one worker on the database's clock, renewed, and queued again when lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now

from annotate.models import MAX_ATTEMPTS

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Queue(Generic[Row]):
    """A table whose rows one worker at a time works on.

    Attributes:
        table: has the columns `worker`, `heartbeat_at`, `attempts` and `queued_at`, under `prefix`.
        status: its column of states, of which `waiting` waits for a worker and `running` has one.
        lost_after: a row under way that was not renewed for this long has lost its worker.
        unclaimed_after: a queued row that nobody took for this long has lost its message.
        give_up: ends those rows under way that lost their worker `MAX_ATTEMPTS` times.
        queued_at: the column, where it is not of that name.
        most: rows that one search for lost ones sends, so that a long queue does not fill up with copies.
    """

    table: type[Row]
    waiting: str
    running: str
    lost_after: timedelta
    unclaimed_after: timedelta
    give_up: Callable[[QuerySet[Row]], None]
    status: str = "status"
    prefix: str = ""
    queued_at: str = "queued_at"
    most: int | None = None

    def _rows(self, **values: Any) -> QuerySet[Row]:
        return self.table._default_manager.filter(**values)

    def _columns(self, **values: Any) -> dict[str, Any]:
        return {f"{self.prefix}{name}": value for name, value in values.items()}

    def claim(self, key: int, worker: UUID, **values: Any) -> bool:
        """Take a waiting row for this worker; False when somebody else has it or it has ended."""
        waiting = self._rows(pk=key, **{self.status: self.waiting})
        mine = self._columns(worker=worker, attempts=F(f"{self.prefix}attempts") + 1, heartbeat_at=Now())
        return bool(waiting.update(**{self.status: self.running}, **mine, **values))

    def mine(self, key: int, worker: UUID) -> QuerySet[Row]:
        """The row while it is this worker's."""
        return self._rows(pk=key, **{self.status: self.running}, **self._columns(worker=worker))

    def renew(self, key: int, worker: UUID) -> int:
        """Say that the worker is alive; 0 when the row is no longer its own."""
        return self.mine(key, worker).update(**self._columns(heartbeat_at=Now()))

    def let_go(self, key: int, worker: UUID) -> None:
        """Queue a row whose worker is stopped in good order, which is no attempt."""
        attempts = {f"{self.prefix}attempts": F(f"{self.prefix}attempts") - 1}
        self.mine(key, worker).update(**self._waiting(), **self._columns(worker=None), **attempts)

    def requeue_lost(self) -> list[int]:
        """Queue what lost its worker or its message; returns the rows to send out again.

        A lost worker stays named in its row, so that one that speaks again is known.
        """
        heartbeat, attempts = f"{self.prefix}heartbeat_at__lt", f"{self.prefix}attempts"
        lost = self._rows(**{self.status: self.running, heartbeat: Now() - self.lost_after})
        self.give_up(lost.filter(**{f"{attempts}__gte": MAX_ATTEMPTS}))
        lost.filter(**{f"{attempts}__lt": MAX_ATTEMPTS}).update(**self._waiting())
        queued_at = f"{self.prefix}{self.queued_at}"
        unclaimed = self._rows(
            **{self.status: self.waiting, f"{queued_at}__lt": Now() - self.unclaimed_after}
        )
        keys = list(unclaimed.order_by(queued_at).values_list("pk", flat=True)[: self.most])
        self._rows(pk__in=keys).update(**{queued_at: Now()})
        return keys

    def _waiting(self) -> dict[str, Any]:
        """Columns of a row that waits for another worker, and is to be sent at once."""
        queued_at = {self.queued_at: Now() - 2 * self.unclaimed_after}
        return {self.status: self.waiting, **self._columns(**queued_at)}
