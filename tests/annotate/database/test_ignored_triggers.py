"""Triggers ask whether they are to be ignored without catching an error, which costs a subtransaction."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from annotate.database.statements import rows

pytestmark = pytest.mark.django_db

ASK = "SELECT public._pgtrigger_should_ignore('one')"


def test_a_trigger_is_ignored_where_it_is_named():
    assert rows(ASK) == [(False,)]
    with transaction.atomic():
        rows("SELECT set_config('pgtrigger.ignore', '{two,one}', true)")
        assert rows(ASK) == [(True,)]
        rows("SELECT set_config('pgtrigger.ignore', '{two}', true)")
        assert rows(ASK) == [(False,)]
        rows("SELECT set_config('pgtrigger.ignore', '', true)")
        assert rows(ASK) == [(False,)]


def test_no_error_is_caught_for_it():
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = '_pgtrigger_should_ignore'")
        assert ["EXCEPTION" in source for (source,) in cursor.fetchall()] == [False]
