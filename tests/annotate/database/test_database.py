"""Kept connections: a live one costs no statement, and one that the server ended is replaced unseen."""

from __future__ import annotations

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db(transaction=True)


def begin_request() -> None:
    """As Django does before each request, when connections are kept and checked."""
    connection.health_check_enabled = True
    connection.health_check_done = False


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def test_a_live_connection_is_kept_and_asked_nothing(monkeypatch):
    number = backend()
    with monkeypatch.context() as mute:
        mute.setattr(connection.connection, "cursor", None)
        assert connection.is_usable()
    begin_request()
    assert backend() == number


def test_a_connection_that_the_server_ended_is_replaced():
    number = backend()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [number])
    finally:
        other.close()
    begin_request()
    assert backend() != number
