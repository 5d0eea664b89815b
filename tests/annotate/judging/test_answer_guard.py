"""An answer right after the last one was meant for the pair before: it is not taken, and it is not lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from annotate.judging.answer_schema import TooSoonError
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.judging.queries import votes_and_time
from annotate.judging.slots import lease_slot
from annotate.models import Entry, Judgment, Slot, StudyAnswer, User
from annotate.studies.answers import submit_answer
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair, make_round, make_user
from tests.studies import ALL_LEFT, come, make_evaluation, open_study, sent, tasks_of
from tests.votes import next_slot

#: Longer than any test takes, so that only times that a test plants are old enough.
GUARD_MS = 60_000
LONG_AGO = Now() - timedelta(milliseconds=2 * GUARD_MS)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def guard(settings: Any) -> None:
    settings.ANSWER_GUARD_MS = GUARD_MS


def make_pairs(count: int) -> None:
    round = make_round()
    for _ in range(count):
        make_pair(round)


def two_in_hand(person: User) -> tuple[Slot, Slot]:
    """A pair, and the one that is fetched ahead of it; both were leased long ago."""
    make_pairs(2)
    first = next_slot(person, Track.IDENTITY)
    second = lease_slot(person, Track.IDENTITY, ahead_of=first.lease)
    assert second is not None
    Slot.objects.filter(annotator=person).update(leased_at=F("leased_at") - timedelta(hours=1))
    return first, second


def submit(person: User, slot: Slot, choice: str = "left", **details: Any) -> Judgment:
    return submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), **details)


def test_an_answer_right_after_its_lease_is_not_taken(ana: User) -> None:
    make_pairs(1)
    slot = lease_slot(ana, Track.IDENTITY)
    with pytest.raises(TooSoonError, match=f"{GUARD_MS} ms must pass"):
        submit(ana, slot)
    Slot.objects.filter(annotator=ana).update(leased_at=LONG_AGO)
    submit(ana, slot)


def test_a_pair_fetched_ahead_is_shown_when_the_one_before_it_is_answered(ana: User) -> None:
    first, second = two_in_hand(ana)
    key = uuid4()
    said = submit_judgment(ana, first.lease, "left", idempotency_key=key)
    with pytest.raises(TooSoonError):
        submit(ana, second)
    # The first answer is known when it is sent again, and may be changed at once.
    assert submit_judgment(ana, first.lease, "left", idempotency_key=key) == said
    revise_judgment(ana, first.lease, "right", idempotency_key=uuid4())
    Slot.objects.filter(pk=first.pk).update(judged_at=LONG_AGO)
    assert submit(ana, second).verdict


def test_the_pages_own_word_counts_too(ana: User) -> None:
    first, _ = two_in_hand(ana)
    with pytest.raises(TooSoonError, match="it came 60 ms after"):
        submit(ana, first, evidence={"answered_after_ms": 60})
    submit(ana, first, evidence={"answered_after_ms": GUARD_MS})


def test_machines_and_sites_without_a_guard_are_not_held_up(ana: User, settings: Any) -> None:
    make_pairs(1)
    machine = make_user(is_simulated=True)
    submit(machine, lease_slot(machine, Track.IDENTITY))
    settings.ANSWER_GUARD_MS = 0
    submit(ana, lease_slot(ana, Track.CONTROLLABILITY))


def test_time_in_hand_is_the_databases(ana: User) -> None:
    """An answer's own time is the database's, too: web servers may disagree."""
    first, second = two_in_hand(ana)
    Slot.objects.filter(pk=second.pk).update(leased_at=Now() - timedelta(seconds=90))
    _, in_hand = votes_and_time(second)
    assert in_hand >= timedelta(seconds=90)
    submit(ana, first)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_default FROM information_schema.columns "
            "WHERE table_name = 'annotate_judgment' AND column_name = 'created_at'"
        )
        assert cursor.fetchone() == ("statement_timestamp()",)
    _, since_answer = votes_and_time(second)
    assert timedelta(0) <= since_answer < in_hand


@pytest.mark.django_db(transaction=True)
def test_of_two_answers_at_one_moment_one_is_taken() -> None:
    ana = make_user()
    slots = two_in_hand(ana)

    def send(slot: Slot) -> str:
        try:
            submit(ana, slot)
        except TooSoonError:
            return "too soon"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, slots)) == ["taken", "too soon"]
    assert Judgment.objects.count() == 1


def test_a_page_keeps_the_answer_and_shows_it_again(ana: User) -> None:
    make_pairs(1)
    browser = browser_of(ana)
    browser.get("/judge/identity/")
    slot = Slot.objects.get(annotator=ana)
    said = {"lease": slot.lease, "idempotency_key": uuid4(), "choice": "right", "note": "a scar"}
    for headers in ({}, {"HX-Request": "true"}):
        answer = browser.post("/judge/identity/", said, headers=headers)
        page = answer.content.decode()
        assert answer.status_code == 422 and str(slot.lease) in page
        assert "look, then answer again" in page
        assert 'value="right" checked' in page and ">a scar</textarea>" in page
    Slot.objects.filter(annotator=ana).update(leased_at=LONG_AGO)
    assert browser.post("/judge/identity/", said).status_code == 302
    assert Judgment.objects.get().note == "a scar"


def test_a_program_is_told_when_to_come_again(ana: User) -> None:
    make_pairs(1)
    program = machine_of(ana)
    lease = program.post("/api/tracks/identity/lease/", {}, format="json").json()["lease"]
    body = {"choice": "left", "idempotency_key": str(uuid4())}
    address = f"/api/leases/{lease}/judgment/"
    answer = program.post(address, body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_soon")
    assert answer.headers["Retry-After"] == str(GUARD_MS // 1000)
    Slot.objects.filter(annotator=ana).update(leased_at=LONG_AGO)
    assert program.post(address, body, format="json").status_code == 201


def test_the_api_document_states_it(client: Any) -> None:
    document = client.get("/api/schema/?format=json").json()
    judging = document["paths"]["/api/leases/{lease}/judgment/"]["post"]
    assert "ANSWER_GUARD_MS" in judging["description"] and "too_soon" in judging["description"]
    problem = judging["responses"]["409"]["content"]["application/json"]
    assert problem["schema"]["$ref"].endswith("/NotTaken")
    assert {example["value"]["code"] for example in problem["examples"].values()} == {
        "too_soon",
        "already_judged",
    }


def test_a_study_has_the_same_guard() -> None:
    study = open_study(make_evaluation(num_instances=1))
    browser, person = come(study)
    first, second = tasks_of(person)[:2]
    with pytest.raises(TooSoonError):
        submit_answer(person, first.lease, ALL_LEFT, idempotency_key=uuid4())
    Entry.objects.update(consented_at=LONG_AGO)
    submit_answer(person, first.lease, ALL_LEFT, idempotency_key=uuid4())
    answer = browser.post(f"/study/{study.pk}/", sent(second, note="a scar"))
    page = answer.content.decode()
    assert answer.status_code == 422 and str(second.lease) in page
    assert page.count('value="left" checked') >= 1 and ">a scar</textarea>" in page
    assert StudyAnswer.objects.count() == 1
