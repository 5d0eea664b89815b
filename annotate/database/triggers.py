"""Rows that are written once, and the one act that removes them all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pgtrigger
from django.db import connection, models, transaction

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


# django-pgtrigger's own asks for a setting that is rarely there, and catches the error: a subtransaction that
# is rolled back, for each row. PostgreSQL then walks through all foreign keys that the transaction has yet to
# check, so that the rows of a transaction cost more the more there are.
_SHOULD_IGNORE = """
CREATE OR REPLACE FUNCTION "public"._pgtrigger_should_ignore(trigger_name NAME) RETURNS BOOLEAN AS $$
    SELECT coalesce(trigger_name = ANY(nullif(current_setting('pgtrigger.ignore', true), '')::text[]), false)
$$ LANGUAGE sql STABLE
"""


def replace_should_ignore(**signal: object) -> None:
    """After each migration, since whatever installs a trigger puts back the one of django-pgtrigger."""
    with connection.cursor() as cursor:
        cursor.execute(_SHOULD_IGNORE)
