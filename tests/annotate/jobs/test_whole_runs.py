"""Whole runs by what their workers report, which may come late, twice, or in another order."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from annotate.fleet import faults
from annotate.fleet.messages import Kind, Report
from annotate.jobs import dispatch, reports, runs, stages
from annotate.jobs.local_worker import work_here
from annotate.models import RoundState, Run, RunStatus
from annotate.rounds.rounds import set_round_state
from tests.annotate.jobs import added_stage
from tests.factories import make_round

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_WORKS", dict(stages._WORKS))
    added_stage.stored.clear()
    added_stage.add()


@pytest.fixture
def run() -> Run:
    return runs.queue_run(make_round(), "echo", lambda folder: {"word": "yes"}, actor=None)


class RunWorker:
    """One that was given the message of a run, by what it reports."""

    def __init__(self, run: Run, **values: Any) -> None:
        self.run = run
        self.header = {"worker": "runs@here", "run": run.pk, "ticket": "t", "claim": str(uuid4())} | values

    def say(self, kind: Kind, **values: Any) -> bool:
        may_go_on = reports.take(Report(kind=kind, **self.header | values))
        self.run.refresh_from_db()
        return may_go_on

    def make(self, word: str = "yes") -> None:
        folder = runs.run_dir(self.run)
        folder.append_metrics({"done": 1, "total": 1})
        folder.write_result({"echo": word})


def test_one_worker_has_a_run_and_another_one_with_its_message_stops(run):
    first, second = RunWorker(run), RunWorker(run)
    assert first.say(Kind.BEGUN) and not second.say(Kind.BEGUN)
    assert first.say(Kind.BEGUN) and run.attempts == 1, "a message that comes twice"
    assert not second.say(Kind.ENDED) and not second.say(Kind.FAILED, error="I could not")
    assert run.status == RunStatus.RUNNING
    first.make()
    assert first.say(Kind.ALIVE, lines=1) and added_stage.stored == [1]
    first.say(Kind.ENDED, lines=1)
    assert (run.status, run.result, added_stage.stored) == (RunStatus.DONE, {"echo": "yes"}, [1, "yes"])
    assert not first.say(Kind.ALIVE, lines=1) and not first.say(Kind.ENDED) and len(added_stage.stored) == 2


def test_an_end_that_comes_before_its_beginning_counts(run):
    worker = RunWorker(run)
    worker.make()
    worker.say(Kind.ENDED, lines=1)
    assert run.status == RunStatus.DONE and not worker.say(Kind.BEGUN)


def test_an_end_without_a_result_fails_in_a_line(run):
    worker = RunWorker(run)
    assert worker.say(Kind.BEGUN)
    worker.say(Kind.ENDED)
    assert run.status == RunStatus.FAILED and "has no result.json yet" in run.error


def test_what_goes_back_is_no_attempt_and_says_why(run):
    for _ in range(5):
        worker = RunWorker(run)
        assert worker.say(Kind.BEGUN)
        worker.say(Kind.BACK, error="runs@here has version 7 of this software")
        assert (run.status, run.attempts) == (RunStatus.QUEUED, 0) and "version 7" in run.error
    assert runs.requeue_lost_runs() == [run.pk], "it is sent again soon"
    assert RunWorker(run).say(Kind.BEGUN) and run.error == ""


def test_a_paused_round_stops_its_run_and_goes_on_with_it(run, lea):
    worker = RunWorker(run)
    assert dispatch.whole_run(run.pk) is not None and worker.say(Kind.BEGUN)
    set_round_state(run.round, RoundState.PAUSED, lea)
    assert not worker.say(Kind.ALIVE)
    worker.say(Kind.BACK)
    assert run.status == RunStatus.QUEUED and not RunWorker(run).say(Kind.BEGUN)
    assert dispatch.whole_run(run.pk) is None and dispatch.waiting_runs() == []
    set_round_state(run.round, RoundState.OPEN, lea)
    assert dispatch.waiting_runs() == [run] and RunWorker(run).say(Kind.BEGUN)


def test_a_run_that_is_cancelled_ends_when_its_worker_has_stopped(run):
    worker = RunWorker(run)
    assert worker.say(Kind.BEGUN) and runs.cancel_run(run)
    assert not worker.say(Kind.ALIVE) and run.status == RunStatus.CANCELLING
    worker.say(Kind.BACK)
    assert run.status == RunStatus.CANCELLED
    assert runs.retry_run(run) and RunWorker(run).say(Kind.BEGUN)


def test_a_failure_keeps_its_line(run):
    worker = RunWorker(run)
    worker.say(Kind.BEGUN)
    worker.say(Kind.FAILED, error="the loss is nan")
    assert (run.status, run.error) == (RunStatus.FAILED, "the loss is nan")


def test_consent_that_was_withdrawn_while_a_run_waited_is_kept(run, monkeypatch):
    assert dispatch.whole_run(run.pk) is not None
    monkeypatch.setattr(dispatch, "refusal_of_run", lambda run: "mia does not agree any more")
    assert not RunWorker(run).say(Kind.BEGUN)
    assert (run.status, run.error) == (RunStatus.FAILED, "mia does not agree any more")


def test_a_worker_of_another_version_hands_it_back(run, monkeypatch):
    monkeypatch.setattr("annotate.jobs.dispatch.software_version", lambda: "9.9.9")
    work_here(run)
    run.refresh_from_db()
    assert (run.status, run.attempts) == (RunStatus.QUEUED, 0) and "the site 9.9.9; update it" in run.error


def test_a_worker_without_the_base_hands_it_back(tmp_path):
    model = {"base": str(tmp_path / "elsewhere"), "adapters": []}
    run = runs.queue_run(make_round(), "echo", lambda folder: {"word": "yes", "model": model}, actor=None)
    work_here(run)
    run.refresh_from_db()
    assert (run.status, run.attempts) == (RunStatus.QUEUED, 0) and f"has no model {tmp_path}" in run.error


@pytest.mark.parametrize(
    ("line", "is_the_workers"),
    [("RuntimeError: CUDA driver version is insufficient", True), ("error: the loss is nan", False)],
)
def test_a_driver_that_fails_says_nothing_of_the_run(line, is_the_workers):
    fault = faults.command_failed("runs@here", line)
    assert fault.is_the_workers is is_the_workers and fault.line.endswith(line)
