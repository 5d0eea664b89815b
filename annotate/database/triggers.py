"""Rows that are written once, and the one act that removes them all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pgtrigger
from django.db import models, transaction

from annotate.database.statements import rows

APPEND_ONLY = "append_only"


@contextmanager
def without_append_only(tables: Collection[type[models.Model]]) -> Iterator[None]:
    """A transaction in which rows of these tables can be removed.

    `pgtrigger.ignore` would put a second command before each statement, which the server refuses where it
    binds the values (`server_side_binding`). What its triggers look at is a setting of the transaction, so
    one command at the beginning does; it ends with the transaction, whatever happens.
    """
    labels = {table._meta.label for table in tables}
    triggers = [
        trigger.get_pgid(table)
        for table, trigger in pgtrigger.registered()
        if table._meta.label in labels and trigger.name == APPEND_ONLY
    ]
    with transaction.atomic():
        _ignore(triggers)
        yield
        _ignore([])


def _ignore(triggers: list[str]) -> None:
    value = f"{{{','.join(sorted(triggers))}}}"
    rows("SELECT set_config('pgtrigger.ignore', %s, true)", [value])
