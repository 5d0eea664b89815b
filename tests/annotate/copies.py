"""Copies of this process, with a connection of their own: quick to begin, and real enough to be killed.

What differs from a program that is started anew: its settings are those of the tests.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable

from django.db import connection

#: Says that it is where it should be killed, and waits for that.
Stay = Callable[..., None]
PATIENCE_S = 120


def killed_where_it_stays(work: Callable[[Stay], object]) -> None:
    """Begin the work in a copy, and send it SIGKILL as soon as it calls `stay`, whatever it gives to it."""
    reached, at_it = os.pipe()

    def stay(*given: object, **named: object) -> None:
        os.write(at_it, b".")
        time.sleep(PATIENCE_S)

    copy = _begin(lambda: work(stay))
    os.close(at_it)
    try:
        assert os.read(reached, 1), "it ended without getting where it should be killed"
    finally:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)
        os.close(reached)


def ended(work: Callable[[], object]) -> int:
    """Do the work in a copy to its end: its exit status, or the negative of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(_begin(work), 0)[1])


def _begin(work: Callable[[], object]) -> int:
    if copy := os.fork():
        return copy
    status = 1
    try:
        # The parent's connection stays open, and is the parent's alone.
        parents, connection.connection = connection.connection, None
        work()
        status = 0
        del parents
    except BaseException:  # Whatever it is, the copy must end here: it is no second run of the tests.
        traceback.print_exc()
    finally:
        os._exit(status)
