"""Runs on several devices: which workers take them, and that all of their processes end together."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.utils import timezone

from annotate.fleet import commands
from annotate.fleet.messages import Kind, Report, queue_for
from annotate.jobs import reports, run_workers, runs, stages, tasks
from annotate.jobs.local_worker import work_here
from annotate.jobs.run_logs import log_tail
from annotate.models import Run, RunStatus, RunWorker
from tests.annotate.jobs import spread_stage
from tests.annotate.workers import wait_until
from tests.factories import make_round

pytestmark = pytest.mark.django_db
LAUNCHER = "torch.distributed.run"


@pytest.fixture(autouse=True)
def _spread(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(stages, "_WORKS", dict(stages._WORKS))
    spread_stage.add()
    settings.CPU_DEVICES = 2


@pytest.fixture
def run() -> Run:
    return runs.queue_run(make_round(), "spread", lambda folder: {}, actor=None, devices=2)


def family() -> list[psutil.Process]:
    """The launcher first, then what it started."""
    mine = psutil.Process().children(recursive=True)
    launcher = next(one for one in mine if LAUNCHER in one.cmdline())
    return [launcher, *launcher.children(recursive=True)]


def execute_until(run: Run, act: Any) -> list[psutil.Process]:
    """Work on a run, do something once it is under way, and give the processes that it had."""
    found: list[psutil.Process] = []

    def watch() -> None:
        wait_until(lambda: bool(runs.run_dir(run).read_metrics()), "a first line")
        found.extend(family())
        act(found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work_here(run)
    watcher.join()
    run.refresh_from_db()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "its launcher is killed"])
def test_no_process_outlives_a_run_that_is(run, how, monkeypatch):
    pytest.importorskip("torch")
    cancelled = threading.Event()
    renew = runs.renew_run

    def renew_unless_cancelled(run: Run, worker: Any) -> RunStatus | None:
        if cancelled.is_set():
            runs.cancel_run(run)
        return renew(run, worker)

    monkeypatch.setattr(runs, "renew_run", renew_unless_cancelled)
    had = execute_until(run, lambda found: cancelled.set() if how == "cancelled" else found[0].kill())
    assert len(had) == 3 and psutil.wait_procs(had, 30)[1] == []
    if how == "cancelled":
        assert run.status == RunStatus.CANCELLED
    else:
        assert run.status == RunStatus.FAILED and "ended by SIGKILL" in run.error


def test_one_device_needs_no_launcher(tmp_path):
    one = commands.argv("rlhf.sft", tmp_path, 1)
    assert one == [sys.executable, "-m", "rlhf.sft", str(tmp_path), "--attached"]
    several = commands.argv("rlhf.sft", tmp_path, 4)
    assert several[1:5] == ["-m", LAUNCHER, "--standalone", "--nproc-per-node=4"] and "--attached" in several


def test_a_run_goes_to_the_queue_of_its_devices(run, monkeypatch, settings):
    sent: list[str] = []
    broker = SimpleNamespace(send_task=lambda name, arguments, queue, priority: sent.append(queue))
    monkeypatch.setattr(tasks, "current_app", broker)
    tasks.send_whole_run(run.pk)
    assert sent == ["runs-2"] and queue_for(1) == "runs"
    settings.CPU_DEVICES = 1
    work_here(run)  # by whatever queue it came
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED and "has 1 devices, and the run needs 2" in run.error


def test_the_site_knows_who_said_that_they_are_there():
    here = Report(kind=Kind.HERE, worker="runs@large", device="NVIDIA H200", devices=8)
    assert reports.take(here) and reports.take(here)
    assert [(one.machine, one.devices, one.description) for one in run_workers.present()] == [
        ("large", 8, "NVIDIA H200")
    ]


def test_who_is_silent_is_not_offered():
    run_workers.announce("runs@small", 1, "CPU")
    run_workers.announce("runs@large", 8, "NVIDIA H200")
    run_workers.announce("runs@large", 4, "NVIDIA H200")
    assert [(one.machine, one.devices) for one in run_workers.present()] == [("large", 4), ("small", 1)]
    RunWorker.objects.filter(name="runs@small").update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    assert [one.machine for one in run_workers.present()] == ["large"]


REPORT = """\
error: an earlier start
[rank0]: RuntimeError: Connection closed by peer [127.0.0.1]:8089.
E1129 21:10:32.603000 9510 torch/distributed/api.py:1002] failed (exitcode: {code}) local_rank: 1 (pid: 9528)
Traceback (most recent call last):
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
Failures:
[1]:
  exitcode  : -15 (pid: 9527)  (SIGTERM)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  exitcode  : {code} (pid: 9528)
============================================================
"""


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (
            "[rank1]: torch.OutOfMemoryError: CUDA out of memory",
            1,
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        ("error: the export holds no pair", 1, "error: the export holds no pair"),
        ("", -9, "process 1 of the command was ended by SIGKILL, most often because memory ran out"),
    ],
)
def test_the_line_that_says_why_is_of_the_process_that_failed_first(run, said, code, why):
    log = REPORT.format(code=code).split("\n", 1)
    (runs.run_dir(run).path / commands.LOG).write_text("\n".join([log[0], said, log[1]]))
    assert commands.why_it_ended(runs.run_dir(run).path, 1) == why
    assert log_tail(run)[-1] == f"failed (exitcode: {code}) local_rank: 1"
