"""Pages that ask again and again: one question to the database, and no answer until something is new."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate.models import Reference, Run, RunStatus, Stage
from tests.annotate.conftest import browser_of
from tests.factories import make_group, make_reference, make_round

pytestmark = pytest.mark.django_db

#: Beside that of the page: those of the session and its user.
STATEMENTS = 3


def a_run() -> str:
    run = Run.objects.create(round=make_round(), stage=Stage.DPO, ordinal=1, folder="runs/x", status="queued")
    return f"/runs/{run.pk}/"


def prompts() -> str:
    Run.objects.create(stage=Stage.PROMPTS, ordinal=1, folder="runs/x", status="queued")
    return "/people/prompts/"


def a_person() -> str:
    return f"/people/{make_reference(make_group(truth=None), curation='pending').group_id}/"


@pytest.mark.parametrize("make", [a_run, prompts, a_person])
def test_a_poll_is_answered_with_nothing_until_something_is_new(lea, make):
    browser, page = browser_of(lea), make()
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every', browser.get(page).content.decode())
    assert found is not None
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(found[1], headers={"HX-Request": "true"})
    assert (answer.status_code, len(captured)) == (204, STATEMENTS)
    Run.objects.update(status=RunStatus.CANCELLED)
    Reference.objects.update(curation="done")
    assert browser.get(found[1], headers={"HX-Request": "true"}).status_code == 200
