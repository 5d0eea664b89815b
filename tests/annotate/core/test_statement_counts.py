"""Each page and list asks the database as many questions at a thousand rows of everything as at ten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from annotate.models import Run, Slot, User
from bench.scale import ANNOTATOR_PAGES, LEAD_LISTS, LEAD_PAGES, MAX_STATEMENTS
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.many_rows import fill_with
from tests.factories import make_pair, make_round

FEW, MANY = 10, 1_000
PAGES = [
    *(("lead", page) for page in (*LEAD_PAGES, "/runs/{run}/")),
    *(("program", page) for page in LEAD_LISTS),
    *(("annotator", page) for page in ANNOTATOR_PAGES),
]


def counted(count: int) -> dict[tuple[str, str], int]:
    """The statements of each page in a database with so many rows, which is then as empty as before."""
    with transaction.atomic():
        fill_with(count)
        lead, annotator = (User.objects.get(username=name) for name in ("lead", "annotator-9"))
        clients: dict[str, Any] = {
            "lead": browser_of(lead),
            "program": machine_of(lead),
            "annotator": browser_of(annotator),
        }
        found = {}
        run = Run.objects.earliest("id")
        for who, page in PAGES:
            address = page.format(run=run.pk)
            if count == FEW or who == "annotator":
                clients[who].get(address)  # what is leased or kept in the cache is there from now on
            with CaptureQueriesContext(connection) as captured:
                assert clients[who].get(address).status_code == 200, page
            found[who, page] = len(captured)
        transaction.set_rollback(True)
    return found


@pytest.mark.slow
@pytest.mark.django_db
def test_pages_ask_as_many_questions_at_a_thousand_rows_as_at_ten() -> None:
    few, many = counted(FEW), counted(MANY)
    alike = [page for page in PAGES if "/launch/" not in page[1]]  # those ask more where somebody refused
    # A round's page shows the curves of its newest runs alone, so it may ask less where there are many.
    may_ask_less = ("lead", "/rounds/1/")
    differ = {page: (few[page], many[page]) for page in alike if few[page] != many[page]}
    assert {page: numbers for page, numbers in differ.items() if page != may_ask_less} == {}
    assert many[may_ask_less] <= few[may_ask_less]
    assert {page: number for page, number in many.items() if number > MAX_STATEMENTS} == {}


#: Of a pair and the answer to it: by the API, and by the page, where the answer brings the next pair.
MAX_OF_A_VOTE = {"api": 6, "page": 7}
TRACKS = ("identity", "controllability")


@pytest.mark.django_db
@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("votes_wanted", [1, 3])
def test_a_pair_and_its_vote_take_few_statements(ana, settings, track, votes_wanted) -> None:
    settings.ANSWER_GUARD_MS = 400
    round = make_round(votes_wanted=votes_wanted, may_be_chosen=True)
    for _ in range(3):
        make_pair(round)
    token = Client(headers={"Authorization": f"Token {Token.objects.create(user=ana).key}"})
    with CaptureQueriesContext(connection) as leasing:
        lease = token.post(
            f"/api/tracks/{track}/lease/", {"round": round.pk}, content_type="application/json"
        ).json()["lease"]
    _look_at_it()
    answer = {"choice": "left", "idempotency_key": str(uuid4())}
    with CaptureQueriesContext(connection) as answering:
        address = f"/api/leases/{lease}/judgment/"
        assert token.post(address, answer, content_type="application/json").status_code == 201
    assert _number(leasing) + _number(answering) <= MAX_OF_A_VOTE["api"]


@pytest.mark.django_db
@pytest.mark.parametrize("track", TRACKS)
def test_an_answer_on_the_page_takes_few_statements(ana, settings, track) -> None:
    settings.ANSWER_GUARD_MS = 400
    for _ in range(3):
        make_pair()
    browser = browser_of(ana)
    browser.get(f"/judge/{track}/")
    _look_at_it()
    slot = Slot.objects.get(annotator=ana)
    answer = {"lease": slot.lease, "choice": "left", "idempotency_key": uuid4()}
    with CaptureQueriesContext(connection) as captured:
        shown = browser.post(f"/judge/{track}/", answer, headers={"HX-Request": "true"})
    assert str(Slot.objects.get(annotator=ana, judged_at=None).lease) in shown.content.decode()
    assert _number(captured) <= MAX_OF_A_VOTE["page"]


def _look_at_it() -> None:
    Slot.objects.exclude(lease=None).update(leased_at=F("leased_at") - timedelta(minutes=1))


def _number(captured: CaptureQueriesContext) -> int:
    """Statements without the ends of transactions."""
    ends = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")
    return sum(not query["sql"].startswith(ends) for query in captured)
