"""Every page, walked by every persona."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.annotate.conftest import browser_of
from tests.annotate.pages import LEADS_PAGES, PAGES
from tests.factories import make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    return make_pair()


@pytest.mark.parametrize("page", PAGES)
def test_people_open_what_is_theirs(ana, lea, pair, page):
    for person in (ana, lea):
        assert browser_of(person).get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES + LEADS_PAGES)
def test_strangers_are_asked_to_sign_in(db, pair, page):
    answer = browser_of(None).get(page.format(round=pair.round_id, policy=pair.round.policy_id))
    assert answer.status_code == 302 and answer.headers["Location"].startswith("/login/")


@pytest.mark.parametrize("page", LEADS_PAGES)
def test_leads_pages_exist_only_for_leads(ana, lea, pair, page):
    page = page.format(round=pair.round_id, policy=pair.round.policy_id)
    assert browser_of(lea).get(page).status_code == 200
    assert browser_of(ana).get(page).status_code == 404


@pytest.mark.parametrize("page", ["/rounds/999999/", "/judge/beauty/", "/nowhere/"])
def test_what_does_not_exist_is_not_found(lea, page):
    assert browser_of(lea).get(page).status_code == 404


@pytest.mark.parametrize("page", ["/rounds/{}/", "/rounds/{}/launch/", "/people/", "/judge/identity/"])
def test_a_page_asks_no_more_questions_for_more_rows(lea, page):
    round, instance = make_round(), make_instance()
    make_pair(round, instance)
    page = page.format(round.pk)
    browser = browser_of(lea)
    browser.get(page)
    with CaptureQueriesContext(
        connection,
    ) as few:
        browser.get(page)
    for _ in range(5):
        make_pair(round, make_instance(instance.group))
        make_user()
    with CaptureQueriesContext(connection) as many:
        browser.get(page)
    assert len(many) <= len(few)


def test_a_page_carries_the_rules_for_the_browser(ana):
    headers = browser_of(ana).get("/").headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
