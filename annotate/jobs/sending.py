"""Handing work to Celery's workers."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send(task: Task[Any, Any], *arguments: int, queue: str = "") -> None:
    """Send a job once the transaction that asked for it has ended, to its own queue or to another one.

    What is to be done stands in a row. So without a broker nothing is lost: a periodic job finds the row and
    sends it when there is one again.
    """
    try:
        if queue:
            task.apply_async_on_commit(arguments, queue=queue)  # type: ignore[attr-defined]
        else:
            task.delay_on_commit(*arguments)  # type: ignore[attr-defined]
    except OperationalError as error:
        logger.warning("%s %s waits, because the broker cannot be reached: %s", task.name, arguments, error)
