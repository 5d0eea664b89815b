"""A person's own token: made and revoked on a page, shown once."""

from __future__ import annotations

import re

import pytest
from rest_framework.authtoken.models import Token

from annotate.models import AuditEvent
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair

pytestmark = pytest.mark.django_db


def works(token: str) -> bool:
    headers = {"Authorization": f"Token {token}"}
    answer = machine_of(None).post("/api/tracks/identity/lease/", headers=headers)
    assert answer.status_code in (200, 401)
    return bool(answer.status_code == 200)


def made(page: str) -> str:
    found = re.search(r'<code class="secret">(\w+)</code>', page)
    assert found is not None
    return found[1]


def test_a_token_is_made_shown_once_replaced_and_revoked(ana):
    make_pair()
    browser = browser_of(ana)
    first = made(browser.post("/account/token/").content.decode())
    assert works(first)
    assert first not in browser.get("/account/token/").content.decode()
    second = made(browser.post("/account/token/").content.decode())
    assert works(second) and not works(first)
    browser.post("/account/token/revoke/")
    assert not works(second)
    assert [event.verb for event in AuditEvent.objects.order_by("id")] == [
        "make_token",
        "make_token",
        "revoke_token",
    ]


def test_revoking_nothing_is_no_event(ana, ben):
    browser_of(ben).post("/account/token/")
    browser_of(ana).post("/account/token/revoke/")
    assert Token.objects.filter(user=ben).exists()
    assert not AuditEvent.objects.filter(verb="revoke_token").exists()
