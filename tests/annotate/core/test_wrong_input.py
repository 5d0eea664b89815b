"""What no form of ours would send is refused in words, and is nobody's server error."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import EntryLink, User
from annotate.studies import entries
from tests.annotate.conftest import browser_of
from tests.factories import make_group, make_instance, make_pair, make_reference, make_round

pytestmark = pytest.mark.django_db

#: Python itself refuses to read so long a number.
TOO_LONG = "9" * 5000


@pytest.mark.parametrize(
    ("page", "field"),
    [
        ("/accounts/", "username"),
        ("/annotators/{person}/disqualify/", "reason"),
        ("/models/{policy}/next-round/", "name"),
        ("/webhooks/", "url"),
    ],
)
def test_a_null_character_is_refused_before_anything_is_stored(lea, ana, page, field):
    page = page.format(person=ana.pk, policy=make_round().policy_id)
    answer = browser_of(lea).post(page, {"role": "annotator", field: "a\0b"})
    assert answer.status_code == 400 and "cannot be stored" in answer.content.decode()
    assert User.objects.count() == 2


def test_a_number_that_is_none_of_ours_is_not_taken_for_another(lea):
    round, group = make_round(), make_group()
    reference = make_reference(group)
    strange = make_reference(make_group())
    browser = browser_of(lea)
    for number in (TOO_LONG, "-1", "x", "²"):
        assert browser.get(f"/rounds/{round.pk}/launch/", {"export": number}).status_code == 404
    for number in (TOO_LONG, "x", str(strange.pk)):
        browser.post(f"/people/{group.pk}/primary/", {"reference": number})
        group.refresh_from_db()
        assert group.primary is None
    browser.post(f"/people/{group.pk}/primary/", {"reference": str(reference.pk)})
    group.refresh_from_db()
    assert group.primary == reference


def test_a_number_too_long_to_read_is_named_in_words(lea):
    instance = make_instance(num_references=1)
    browser = browser_of(lea)
    edited = browser.post(f"/instances/{instance.pk}/prompt/", {"base": TOO_LONG, "text": "A beach."})
    assert edited.status_code == 422
    asked = browser.post("/people/prompts/", {"per_identity": TOO_LONG, "seed": "0"})
    assert asked.status_code == 422 and "whole number from 1 to 100" in asked.content.decode()


def test_a_participants_address_may_hold_anything():
    link = EntryLink(
        name="Faces",
        id_parameter="PID",
        max_people=5,
        closes_at=timezone.now() + timedelta(days=1),
        consent_text="You will see videos.",
        completion_code="C0DE42",
    )
    entries.make_link(link, make_pair().round, "identity", 1, None)
    browser, address = browser_of(None), f"/enter/{link.token}/"
    assert browser.post(address, {"PID": "abc"}).status_code == 302
    assert browser.get(address, {"PID": "a\0b"}).status_code == 403
    assert browser.post(address, {"PID": "a\0b"}).status_code == 400
    assert browser.get("/enter/%00/").status_code == 404
    assert "Begin" in browser.get(address, {"PID": "abc"}).content.decode()


def test_an_empty_room_says_what_to_do_next_and_offers_nothing_that_cannot_be(lea, ana):
    round, group = make_round(), make_group()
    make_reference(group)
    lead = browser_of(lea)
    assert "no pairs yet" in lead.get("/rounds/").content.decode()
    assert "Choose one below" in lead.get(f"/people/{group.pk}/").content.decode()
    assert "Change my last answer" not in browser_of(ana).get("/judge/identity/").content.decode()
    for part in ("", "gold/", "adjudication/", "plan/"):
        page = lead.get(f"/rounds/{round.pk}/{part}").content.decode()
        assert 'href="/rounds/" aria-current="page"' in page, part
    refused = lead.post("/entry-links/", {"id_parameter": "1 2"})
    assert refused.status_code == 422 and "Begin with a letter" in refused.content.decode()


def test_an_accounts_name_is_refused_in_few_words(lea):
    browser = browser_of(lea)
    empty = browser.post("/accounts/", {"username": " ", "role": "annotator"})
    assert empty.status_code == 422 and "the name is empty" in empty.content.decode()
    endless = browser.post("/accounts/", {"username": "x" * 5000, "role": "annotator"}).content.decode()
    assert "at most 150 characters" in endless and "x" * 41 not in endless
