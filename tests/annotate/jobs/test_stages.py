"""Stages are a table: one entry is all that a stage is to the queue, its worker and its page."""

from __future__ import annotations

import pytest

from annotate.jobs import runs, stages
from annotate.jobs.local_worker import work_here
from annotate.models import RunStatus, Stage
from tests.annotate.conftest import browser_of
from tests.annotate.jobs import added_stage
from tests.factories import make_round, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_WORKS", dict(stages._WORKS))
    added_stage.stored.clear()
    added_stage.add()


def test_every_stage_has_a_room():
    assert {*stages._WORKS} == {*Stage.values, "echo"}


def test_a_stage_of_one_file_is_queued_worked_followed_stored_and_shown():
    run = runs.queue_run(make_round(), "echo", lambda folder: {"word": "yes"}, actor=None)
    work_here(run)
    run.refresh_from_db()
    assert (run.status, run.result, added_stage.stored) == (RunStatus.DONE, {"echo": "yes"}, [1, "yes"])
    page = browser_of(make_user(role="lead")).get(f"/runs/{run.pk}/")
    assert page.status_code == 200 and page.context["progress"]["total"] == 1


def test_what_people_do_not_agree_to_is_refused_when_a_worker_takes_it():
    run = runs.queue_run(make_round(), "echo", lambda folder: {"word": "no"}, actor=None)
    work_here(run)
    run.refresh_from_db()
    assert (run.status, run.error, added_stage.stored) == (RunStatus.FAILED, "nobody agreed", [])


def test_a_stage_that_no_room_has_is_never_queued():
    with pytest.raises(KeyError):
        runs.queue_run(make_round(), "nowhere", lambda folder: {}, actor=None)
