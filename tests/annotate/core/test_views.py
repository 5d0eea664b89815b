"""Every page, walked by every persona."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate.models import Judgment, Run, RunStatus, Slot, User
from annotate.rounds.sampling import queue_sampling
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db

PAGES = ("/", "/judge/identity/", "/judge/controllability/", "/account/token/", "/account/numbers/")
LEADS_PAGES = (
    "/rounds/",
    "/rounds/{round}/",
    "/rounds/{round}/launch/",
    "/rounds/{round}/adjudication/",
    "/rounds/{round}/gold/",
    "/rounds/{round}/numbers/",
    "/rounds/{round}/plan/",
    "/annotators/",
    "/models/",
    "/models/compare/",
    "/models/{policy}/",
    "/people/",
    "/people/prompts/",
    "/accounts/",
    "/webhooks/",
    "/judgments/",
    "/entry-links/",
    "/studies/",
)


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


def test_anybody_signs_in_and_out(ana):
    browser = browser_of(None)
    assert browser.get("/login/").status_code == 200
    answer = browser.post("/login/", {"username": "ana", "password": "wrong"})
    assert answer.status_code == 200 and "form" in answer.content.decode()
    assert browser.post("/login/", {"username": "ana", "password": "a good password"}).status_code == 302
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/").status_code == 302


def answer_for(slot: Slot, **changes):
    return {
        "lease": str(slot.lease),
        "idempotency_key": str(uuid4()),
        "choice": "left",
        "evidence": "",
    } | changes


def shown(person: User, track: Track = Track.IDENTITY) -> Slot:
    browser_of(person).get(f"/judge/{track}/")
    return Slot.objects.get(annotator=person, track=track, judged_at=None)


def test_judging_works_without_javascript(ana, pair):
    slot = shown(ana)
    answer = browser_of(ana).post("/judge/identity/", answer_for(slot))
    assert answer.status_code == 302
    assert Judgment.objects.get().slot == slot


def test_judging_with_htmx_answers_with_the_next_pair(ana, pair):
    make_pair()
    slot = shown(ana)
    answer = browser_of(ana).post("/judge/identity/", answer_for(slot), headers={"HX-Request": "true"})
    page = answer.content.decode()
    following = Slot.objects.get(annotator=ana, judged_at=None)
    assert answer.status_code == 200 and "<html" not in page and str(following.lease) in page


def test_the_next_pair_can_be_fetched_ahead(ana, pair):
    make_pair()
    slot = shown(ana)
    program = {"HX-Request": "true"}
    page = browser_of(ana).get(f"/judge/identity/?ahead_of={slot.lease}", headers=program).content.decode()
    following = Slot.objects.exclude(pk=slot.pk).get(annotator=ana)
    assert str(following.lease) in page and str(slot.lease) not in page
    # Both in hand: the answer to the first is followed by nothing, as long as it is ahead of the second.
    answer = browser_of(ana).post(
        "/judge/identity/", answer_for(slot, ahead_of=str(following.lease)), headers=program
    )
    assert answer.status_code == 204
    assert Judgment.objects.get().slot == slot
    assert browser_of(ana).get("/judge/identity/?ahead_of=nonsense").status_code == 422


def test_the_last_answer_can_be_changed_for_a_while(ana, ben, pair, settings):
    program = {"HX-Request": "true"}
    assert browser_of(ana).get("/judge/identity/?undo=1", headers=program).status_code == 204
    slot = shown(ana)
    browser_of(ana).post("/judge/identity/", answer_for(slot))
    page = browser_of(ana).get("/judge/identity/?undo=1").content.decode()
    assert str(slot.lease) in page and 'value="left" checked' in page
    assert str(slot.lease) not in browser_of(ben).get("/judge/identity/?undo=1").content.decode()
    change = answer_for(slot, choice="tie", revises="1")
    assert browser_of(ana).post("/judge/identity/", change, headers=program).status_code == 204
    assert [judgment.verdict for judgment in Judgment.objects.order_by("revision")][1] == "tie"
    settings.UNDO_S = 0
    late = answer_for(slot, choice="right", revises="1")
    assert browser_of(ana).post("/judge/identity/", late).status_code == 409
    assert "no answer of yours" in browser_of(ana).get("/judge/identity/?undo=1").content.decode()


def test_the_back_button_changes_nothing(ana, pair):
    slot = shown(ana)
    for _ in range(2):
        answer = browser_of(ana).post("/judge/identity/", answer_for(slot))
        assert answer.status_code == 302
    assert Judgment.objects.count() == 1


def test_another_answer_to_a_judged_pair_is_told_what_stands_and_offered_as_a_change(ana, pair):
    """Sent by the Back button or a second tab, under its key or another one."""
    make_pair()
    slot = shown(ana)
    first = answer_for(slot, note="a mole")
    browser_of(ana).post("/judge/identity/", first)
    for other in (answer_for(slot, choice="right", note="no mole"), first | {"choice": "right"}):
        answer = browser_of(ana).post("/judge/identity/", other)
        page = answer.content.decode()
        assert answer.status_code == 409
        assert "This pair has your answer “left is better”" in page and "makes it “right is better”" in page
        # The form changes that pair's answer, and holds the new one.
        assert str(slot.lease) in page and 'name="revises" value="1"' in page
        assert 'value="right" checked' in page and f">{other['note']}</textarea>" in page
    assert Judgment.objects.count() == 1
    change = other | {"revises": "1", "idempotency_key": str(uuid4())}
    assert browser_of(ana).post("/judge/identity/", change).status_code == 302
    assert Judgment.objects.count() == 2


def test_what_stands_is_told_when_it_can_no_longer_be_changed(ana, pair, settings):
    make_pair()
    slot = shown(ana)
    browser_of(ana).post("/judge/identity/", answer_for(slot))
    settings.UNDO_S = 0
    answer = browser_of(ana).post("/judge/identity/", answer_for(slot, choice="tie"))
    page = answer.content.decode()
    assert answer.status_code == 409 and "can no longer be changed" in page
    assert "your answer “left is better” of <time" in page
    assert str(shown(ana).lease) in page and str(slot.lease) not in page


def test_an_answer_that_is_refused_stays_in_its_form(ana, pair, settings):
    settings.WATCH_GATE = dict.fromkeys(settings.WATCH_GATE, 100)
    slot = shown(ana)
    breaks = '[{"side": "left", "frame": 3}]'
    said = answer_for(slot, choice="right", strength="clearly", note="two moles", breaks=breaks)
    answer = browser_of(ana).post("/judge/identity/", said)
    page = answer.content.decode()
    assert answer.status_code == 422 and str(slot.lease) in page
    assert 'value="right" checked' in page and 'value="clearly" checked' in page
    assert ">two moles</textarea>" in page and "&quot;frame&quot;: 3" in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"choice": ""}, "Choose an answer"),
        ({"choice": "first"}, "first"),
        ({"evidence": "{not json"}, "reload the page"),
        ({"evidence": "[1]"}, "Expected a dictionary"),
    ],
)
def test_wrong_input_is_explained_and_loses_nothing(ana, pair, changes, says):
    slot = shown(ana)
    answer = browser_of(ana).post("/judge/identity/", answer_for(slot, **changes))
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Judgment.objects.exists()
    assert shown(ana) == slot


def test_a_lost_lease_is_explained(ana, ben, pair):
    slot = shown(ana)
    answer = browser_of(ben).post("/judge/identity/", answer_for(slot))
    assert answer.status_code == 409
    assert "given to someone else" in answer.content.decode()


def test_an_empty_queue_says_why(ana, ben, pair):
    shown(ana)
    page = browser_of(ben).get("/judge/identity/").content.decode()
    assert "in other people&#x27;s hands" in page or "in other people's hands" in page
    page = browser_of(ana).get("/judge/controllability/").content.decode()
    assert "nobody judges both tracks" in page


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


def test_a_lead_advances_cancels_and_retries(lea, ana, monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr("annotate.jobs.tasks.execute_run.delay_on_commit", sent.append)
    pair = make_pair(is_made=False)
    lead = browser_of(lea)
    assert browser_of(ana).post(f"/rounds/{pair.round_id}/advance/").status_code == 404
    assert lead.get(f"/rounds/{pair.round_id}/advance/").status_code == 405
    lead.post(f"/rounds/{pair.round_id}/advance/")
    run = Run.objects.get()
    assert sent == [run.pk]
    for person, status in ((None, 302), (ana, 404), (lea, 200)):
        assert browser_of(person).get(f"/runs/{run.pk}/").status_code == status
    for person, status in ((ana, 404), (lea, 302)):
        assert browser_of(person).post(f"/runs/{run.pk}/cancel/").status_code == status
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED
    lead.post(f"/runs/{run.pk}/retry/")
    assert sent == [run.pk, run.pk]


def test_a_live_round_is_polled_and_a_resting_one_is_not(lea):
    pair = make_pair(is_made=False)
    page = f"/rounds/{pair.round_id}/"
    assert "every 2s" not in browser_of(lea).get(page).content.decode()
    queue_sampling(pair.round)
    assert "every 2s" in browser_of(lea).get(page).content.decode()
    part = browser_of(lea).get(page, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part


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
