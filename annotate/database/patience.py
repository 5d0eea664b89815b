"""What outlives a database that is away for some minutes: a restart, a failover, a cut cable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

#: How long work that is under way waits for the database before it is given up.
PATIENCE_S = 300.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0

Answer = TypeVar("Answer")


def patiently(work: Callable[[], Answer], patience_s: float = PATIENCE_S) -> Answer:
    """Do something that is safe to repeat, again and again for as long as the database cannot be reached.

    Within a transaction nothing is repeated, since what came before in it is lost.

    Raises:
        OperationalError, InterfaceError: it could not be reached for so many seconds.
    """
    deadline, pause = time.monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block:
                raise
            connection.close()
            if time.monotonic() + pause > deadline:
                raise
            logger.warning("the database cannot be reached, trying again in %.1f s: %s", pause, error)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
