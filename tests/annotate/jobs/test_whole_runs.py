"""Whole runs by what their workers report, which may come late, twice, or in another order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from annotate.fleet import faults
from annotate.fleet.messages import Kind, Report
from annotate.jobs import dispatch, reports, runs, stages, tasks
from annotate.jobs.local_worker import work_here
from annotate.jobs.stages import Sharding
from annotate.models import RoundState, Run, RunStatus
from annotate.rounds.rounds import set_round_state
from tests.annotate.jobs import added_stage
from tests.factories import make_round
from tests.fleet import FleetWorker, messages

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


@pytest.mark.parametrize(("priority", "urgency"), [(9, 0), (5, 4), (0, 9)])
def test_of_waiting_runs_those_of_urgent_rounds_are_taken_first(priority, urgency, monkeypatch):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.current_app, "send_task", lambda *arguments, **place: sent.append(place))
    run = runs.queue_run(make_round(priority=priority), "echo", lambda folder: {"word": "yes"}, actor=None)
    tasks.send_whole_run(run.pk)
    assert sent == [{"queue": "runs", "priority": urgency}]


# -- after shards -----------------------------------------------------------------------------------


@pytest.fixture
def cut() -> Run:
    """A run of six items in three shards, whose command then makes the result."""
    sharding = Sharding("generator.resident", "videos", lambda run: 150.0, lambda run, request, *part: "")
    stages.register(replace(stages.work_of("echo"), sharding=sharding))
    samples = [{"sample_id": str(number), "references": [], "prompt": str(number)} for number in range(6)]
    return runs.queue_run(
        make_round(), "echo", lambda folder: {"word": "yes", "samples": samples}, actor=None
    )


def unmade_of(run: Run) -> list[dict[str, Any]]:
    return json.loads((runs.run_dir(run).path / "unmade.json").read_text())


def make_shards(failing: str = "") -> None:
    for worker in map(FleetWorker, messages()):
        for item in worker.ids:
            assert item == failing or worker.make(item)
        failed = [{"sample_id": failing, "error": "no model reads it"}] if failing in worker.ids else []
        worker.say(Kind.ENDED, made=[item for item in worker.ids if item != failing], failed=failed)


def test_the_command_of_a_run_begins_once_its_shards_are_done(cut):
    assert [(shard.start, shard.stop) for shard in cut.shards.all()] == [(0, 2), (2, 4), (4, 6)]
    assert dispatch.waiting_runs() == [] and dispatch.whole_run(cut.pk) is None
    assert not RunWorker(cut).say(Kind.BEGUN), "somebody with a message of an earlier attempt"
    make_shards(failing="3")
    cut.refresh_from_db()
    assert (cut.status, dispatch.waiting_runs()) == (RunStatus.QUEUED, [cut])
    assert unmade_of(cut) == [{"sample_id": "3", "error": "no model reads it"}]
    last = Report(kind=Kind.ENDED, worker="gpu-0@here", shard=cut.shards.last().pk)
    assert dispatch.run_to_end(last) == cut
    began, worker = cut.started_at, RunWorker(cut)
    assert worker.say(Kind.BEGUN) and cut.started_at == began
    assert runs.unconcluded_runs() == [cut.pk]
    runs.conclude_run(cut.pk)
    assert worker.say(Kind.ALIVE), "it goes on, whoever looks after runs without a shard"
    worker.make()
    worker.say(Kind.ENDED, lines=1)
    assert (cut.status, cut.result) == (RunStatus.DONE, {"echo": "yes"})


def test_what_is_tried_again_is_what_could_not_be_made_and_then_the_command(cut):
    make_shards(failing="3")
    worker = RunWorker(cut)
    worker.say(Kind.BEGUN)
    worker.say(Kind.FAILED, error="1 of 6 is missing")
    assert runs.retry_run(cut) and dispatch.waiting_runs() == []
    assert [message.start for message in messages()] == [2]
    cut.shards.filter(status="sent").update(status="queued", ticket=None)
    make_shards()
    assert dispatch.waiting_runs() == [cut] and unmade_of(cut) == []
    cut.refresh_from_db()
    assert runs.cancel_run(cut) and runs.retry_run(cut)
    assert messages() == [] and dispatch.whole_run(cut.pk) is not None


def test_a_cancel_reaches_shards_and_command(cut):
    one = FleetWorker(messages(1)[0])
    one.say(Kind.BEGUN)
    assert runs.cancel_run(cut) and not one.say(Kind.ALIVE)
    one.say(Kind.BACK)
    cut.refresh_from_db()
    assert cut.status == RunStatus.CANCELLED and runs.retry_run(cut)
    make_shards()
    worker = RunWorker(cut)
    assert worker.say(Kind.BEGUN) and runs.cancel_run(cut) and not worker.say(Kind.ALIVE)
    assert cut.status == RunStatus.CANCELLING
    worker.say(Kind.BACK)
    assert cut.status == RunStatus.CANCELLED
