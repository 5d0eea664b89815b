"""Entry links: people of a crowd platform agree, judge their share, and leave with a code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.judging import slots
from annotate.judging.slots import lease_slot
from annotate.models import Entry, EntryLink, Exposure, Judgment, Participant, User
from annotate.quality.disqualification import disqualify
from annotate.studies import entries
from annotate.studies.entries import EntryRefusedError
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.annotate.entry_links import TERMS, come, judge_one, make_link
from tests.factories import make_pair, make_round


@pytest.fixture
def round(db):
    round = make_round(votes_wanted=3)
    for _ in range(3):
        make_pair(round)
    # Another round's pair, which nobody of the link may be given.
    make_pair()
    return round


@pytest.mark.django_db
def test_somebody_agrees_judges_their_share_and_gets_the_code(round):
    link = make_link(round)
    browser = Client()
    terms = browser.get(f"/enter/{link.token}/?PROLIFIC_PID=5f1a").content.decode()
    assert "You will see videos." in terms and "C0DE42" not in terms
    assert not Participant.objects.exists()
    browser, status = come(link, "5f1a", browser)
    assert status == 302
    account = Participant.objects.get().account
    assert not account.has_usable_password() and "5f1a" not in account.username
    assert judge_one(browser)
    assert "1 of 2 pairs" in browser.get(f"/enter/{link.token}/").content.decode()
    browser.post(f"/enter/{link.token}/finish/")
    assert Entry.objects.get().finished_at is None
    assert judge_one(browser) and not judge_one(browser)
    assert f"/enter/{link.token}/" in browser.get("/judge/identity/").content.decode()
    assert "C0DE42" not in browser.get(f"/enter/{link.token}/").content.decode()
    browser.post(f"/enter/{link.token}/finish/")
    done = browser.get(f"/enter/{link.token}/").content.decode()
    assert "C0DE42" in done and TERMS["completion_url"] in done
    assert {judgment.slot.round_id for judgment in Judgment.objects.all()} == {round.pk}


@pytest.mark.django_db
def test_the_same_id_is_the_same_account_on_every_way_in(round):
    link = make_link(round)
    come(link, "same")
    come(link, "same")
    other = make_link(round, name="Study two", track="controllability")
    come(other, "same")
    assert User.objects.filter(role="participant").count() == 1
    assert (link.entries.count(), other.entries.count()) == (1, 1)


@pytest.mark.django_db
def test_nobody_judges_both_tracks_of_a_pair_by_two_links(round):
    browser, _ = come(make_link(round, pairs=3), "same")
    while judge_one(browser):
        pass
    other = make_link(round, name="Study two", track="controllability")
    answer = browser.post(f"/enter/{other.token}/", {"PROLIFIC_PID": "same"})
    assert answer.status_code == 403 and "screened out" in answer.content.decode()
    assert not Exposure.objects.filter(track="controllability").exists()


@pytest.mark.django_db
def test_nobody_takes_part_in_the_same_work_twice(round):
    browser, _ = come(make_link(round, pairs=1), "same")
    assert judge_one(browser)
    assert come(make_link(round, name="Study two", pairs=1), "same")[1] == 403


@pytest.mark.django_db
def test_a_full_ended_or_closed_link_says_so_and_lets_back_who_is_in(round, lea):
    link = make_link(round)
    assert [come(link, name)[1] for name in ("a", "b", "c")] == [302, 302, 403]
    page = Client().get(f"/enter/{link.token}/?PROLIFIC_PID=c")
    assert "full" in page.content.decode() and TERMS["screened_out_url"] in page.content.decode()
    EntryLink.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert "ended" in Client().get(f"/enter/{link.token}/?PROLIFIC_PID=d").content.decode()
    browser, status = come(link, "a")
    assert status == 302 and judge_one(browser)
    assert entries.end_link(link, lea) and not entries.end_link(link, lea)
    assert not judge_one(browser)
    assert Participant.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("external_id", ["", "a b", "<script>", "x" * 101, "naïve"])
def test_an_address_without_a_usable_id_is_refused(round, external_id):
    link = make_link(round)
    for answer in (
        Client().get(f"/enter/{link.token}/", {"PROLIFIC_PID": external_id}),
        Client().post(f"/enter/{link.token}/", {"PROLIFIC_PID": external_id}),
    ):
        assert answer.status_code == 403 and "from its page" in answer.content.decode()
    assert not Participant.objects.exists()


@pytest.mark.django_db
def test_who_does_not_agree_leaves_no_trace(round):
    link = make_link(round)
    answer = Client().post(f"/enter/{link.token}/decline/", {"PROLIFIC_PID": "a"})
    assert "did not agree" in answer.content.decode()
    assert not Participant.objects.exists()


@pytest.mark.django_db
def test_who_can_get_no_more_pairs_may_finish_with_those_there_were(round):
    browser, _ = come(make_link(round, pairs=9), "a")
    for _ in range(3):
        assert judge_one(browser)
    assert not judge_one(browser)
    link = EntryLink.objects.get()
    assert "more are not left" in browser.get(f"/enter/{link.token}/").content.decode()
    browser.post(f"/enter/{link.token}/finish/")
    assert "C0DE42" in browser.get(f"/enter/{link.token}/").content.decode()


@pytest.mark.django_db
def test_a_participant_gets_nothing_but_their_share_by_any_door(round):
    browser, _ = come(make_link(round, pairs=1), "a")
    person = Participant.objects.get().account
    other_track = browser.post("/api/tracks/controllability/lease/", "{}", "application/json")
    assert other_track.status_code == 204
    first = lease_slot(person, Track.IDENTITY, round_id=round.pk + 1)
    assert first.round_id == round.pk
    assert lease_slot(person, Track.IDENTITY, ahead_of=first.lease) is None
    assert browser.get("/").headers["Location"].startswith("/enter/")
    for page in ("/account/token/", "/accounts/", "/rounds/", "/entry-links/", "/webhooks/", "/judgments/"):
        assert browser.get(page).status_code == 404


@pytest.mark.django_db
def test_who_is_disqualified_is_screened_out(round, lea):
    link = make_link(round)
    browser, _ = come(link, "a")
    assert judge_one(browser)
    disqualify(Participant.objects.get().account, "answers without looking", lea)
    assert not judge_one(browser)
    page = browser.get(f"/enter/{link.token}/").content.decode()
    assert "screened out" in page and TERMS["screened_out_url"] in page
    browser.post(f"/enter/{link.token}/finish/")
    assert Entry.objects.get().finished_at is None
    assert come(make_link(round, name="Study two", track="controllability"), "a")[1] == 403


@pytest.mark.django_db
def test_gold_is_part_of_the_share_and_never_comes_on_top(round, monkeypatch):
    browser, _ = come(make_link(round, pairs=1), "a")
    assert judge_one(browser)
    asked: list[int] = []
    monkeypatch.setattr(slots, "is_golds_turn", lambda: True)
    monkeypatch.setattr(slots, "lease_gold", lambda *given, **_: asked.append(1))
    assert not judge_one(browser)
    assert asked == []


@pytest.mark.django_db
def test_people_of_the_team_only_look(round, ana, lea):
    link = make_link(round)
    for person in (ana, lea):
        page = browser_of(person).get(f"/enter/{link.token}/?PROLIFIC_PID=a").content.decode()
        assert "only a look" in page and "I agree" not in page
    assert Client().get("/enter/unknown/?PROLIFIC_PID=a").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_no_more_come_in_than_may_when_all_come_at_once():
    round = make_round(votes_wanted=9)
    make_pair(round)
    link = make_link(round, max_people=3, pairs=1)

    def try_it(number: int) -> bool:
        try:
            entries.enter(EntryLink.objects.get(pk=link.pk), f"person-{number % 6}")
        except EntryRefusedError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(try_it, range(12)))
    assert link.entries.count() == 3
    assert Participant.objects.count() == 3


@pytest.mark.django_db
def test_a_lead_makes_a_link_sees_who_finished_and_ends_it(round, lea, ana):
    browser = browser_of(lea)
    sent = TERMS | {"round": round.pk, "track": "identity", "pairs_per_person": 1}
    sent["closes_at"] = f"{TERMS['closes_at']:%Y-%m-%dT%H:%M}"
    assert browser_of(ana).post("/entry-links/", sent).status_code == 404
    for wrong in (
        {"max_people": 0},
        {"closes_at": "2020-01-01T00:00"},
        {"consent_text": ""},
        {"completion_url": "javascript:alert(1)"},
        {"id_parameter": "no spaces"},
    ):
        assert browser.post("/entry-links/", sent | wrong).status_code == 422
    address = browser.post("/entry-links/", sent).headers["Location"]
    assert browser.post("/entry-links/", sent).status_code == 422
    link = EntryLink.objects.get()
    visitor, _ = come(link, "their-id")
    assert judge_one(visitor)
    assert "1 of 1" in (page := browser.get(address).content.decode()) and "not yet" in page
    visitor.post(f"/enter/{link.token}/finish/")
    page = browser.get(address).content.decode()
    assert "their-id" in page and "1 finished" in page and link.token in page
    browser.post(f"{address}end/")
    assert come(link, "another")[1] == 403
    assert "their-id" not in browser.get("/accounts/").content.decode()


@pytest.mark.django_db
def test_others_are_asked_nothing_more(round, ana):
    """A lease of somebody with a password never looks for an entry."""
    come(make_link(round), "a")
    asked = []
    for person in (ana, Participant.objects.get().account):
        with CaptureQueriesContext(connection) as captured:
            lease_slot(person, Track.IDENTITY)
        asked.append(sum("annotate_entry" in query["sql"] for query in captured))
    assert asked[0] == 0 and asked[1] > 0
