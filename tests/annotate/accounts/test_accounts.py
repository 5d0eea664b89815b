"""People sign in, and leads make their accounts."""

from __future__ import annotations

import pytest

from annotate.models import User
from tests.annotate.conftest import browser_of

pytestmark = pytest.mark.django_db


def test_anybody_signs_in_and_out(ana):
    browser = browser_of(None)
    assert browser.get("/login/").status_code == 200
    answer = browser.post("/login/", {"username": "ana", "password": "wrong"})
    assert answer.status_code == 200 and "form" in answer.content.decode()
    assert browser.post("/login/", {"username": "ana", "password": "a good password"}).status_code == 302
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/").status_code == 302


def test_a_lead_makes_accounts(lea, ana):
    browser = browser_of(lea)
    page = browser.post("/accounts/", {"username": "newcomer", "role": "annotator"}).content.decode()
    newcomer = User.objects.get(username="newcomer")
    assert not newcomer.is_lead and "newcomer" in page
    assert browser.post("/accounts/", {"username": "ANA", "role": "annotator"}).status_code == 422
    assert browser.post("/accounts/", {"username": "x", "role": "owner"}).status_code == 422
    assert browser.post("/accounts/", {"username": "bad name!", "role": "annotator"}).status_code == 422
    assert browser.post(f"/accounts/{ana.pk}/password/").status_code == 200
    ana.refresh_from_db()
    assert not ana.check_password("a good password")
    assert browser_of(ana).post("/accounts/", {"username": "y", "role": "lead"}).status_code == 404
