"""Django's PostgreSQL, with a health check that is no statement, and batches that fit into one.

A connection that the server or the network has closed can be read from: the end waits there, or the
server's last words. An idle one has nothing to read. Django's own check is a `SELECT 1` at every request.

The protocol counts the parameters of a statement in 16 bits, which Django does not know of.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

from django.db.backends.postgresql import base, features, operations


class DatabaseFeatures(features.DatabaseFeatures):
    max_query_params = 2**16 - 1


class DatabaseOperations(operations.DatabaseOperations):
    def bulk_batch_size(self, fields: Sequence[Any], objs: Sequence[Any]) -> int:
        """Rows that fit into one statement, when a batch is created, updated or deleted."""
        return DatabaseFeatures.max_query_params // max(1, len(fields))


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = DatabaseFeatures
    ops_class = DatabaseOperations

    def is_usable(self) -> bool:
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
