"""Each page and list asks the database as many questions at a thousand rows of everything as at ten."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from annotate.models import Run, User
from bench.scale import ANNOTATOR_PAGES, LEAD_LISTS, LEAD_PAGES, MAX_STATEMENTS
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.many_rows import fill_with

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
    assert {page: (few[page], many[page]) for page in PAGES if few[page] != many[page]} == {}
    assert {page: number for page, number in many.items() if number > MAX_STATEMENTS} == {}
