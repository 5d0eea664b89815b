"""After a test that committed: its rows go, but not the files of seventy tables, which would take longer.

Django truncates every table, which makes a new file for each of them and of their indexes, and then writes
the permissions again. Here only the tables that hold something are emptied, and permissions stay.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import TransactionTestCase

# Triggers that keep rows for ever, and foreign keys, are left out meanwhile. A table that grew is made small
# again: pages full of dead rows would be planned for as if they held something.
_EMPTY = """
DO $$
DECLARE
    name text;
    is_filled boolean;
BEGIN
    FOR name IN
        SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO is_filled;
        IF pg_relation_size(quote_ident(name)) > 1e6 THEN
            EXECUTE format('TRUNCATE %I CASCADE', name);
        ELSIF is_filled THEN
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
END $$
"""


def empty_tables(_: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            cursor.execute(_EMPTY)
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")


def empty_only_what_is_filled() -> None:
    """Have Django's own cases do so, and with them pytest's."""
    TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[attr-defined,method-assign]
