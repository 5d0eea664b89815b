"""The judging page, with and without htmx."""

from __future__ import annotations

from uuid import uuid4

import pytest

from annotate.models import Judgment, Slot, User
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.factories import make_pair

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    return make_pair()


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
