"""Django's PostgreSQL, whose health check of a kept connection is no statement.

A connection that the server or the network has closed can be read from: the end waits there, or the
server's last words. An idle one has nothing to read. Django's own check is a `SELECT 1` at every request.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
