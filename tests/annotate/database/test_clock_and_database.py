"""A worker's clock decides nothing, its database may go away for a while, and nothing is begun for ever."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from annotate.database.claims import hold
from annotate.database.patience import patiently
from annotate.exports import downloads
from annotate.jobs import runs
from annotate.judging import judgments, slots
from annotate.models import Claim, Curation, JudgmentFile, Reference, Run, RunStatus
from annotate.people import curation
from rlhf.records import Track
from tests.annotate.copies import ended
from tests.annotate.workers import SLOW_COMMAND, start_python, wait_until
from tests.factories import make_group, make_pair, make_reference, make_round, make_user

ROOT = Path(__file__).resolve().parents[3]

# A worker of which only the command is another one, so that it needs no model.
WORKER = """
import sys
import django
django.setup()
from dataclasses import replace
from annotate.jobs.local_worker import work_here
from annotate.jobs.stages import register, work_of
from annotate.models import Run
register(replace(work_of("dpo"), command=sys.argv[2], finish=lambda run, result: None))
work_here(Run.objects.get(pk=int(sys.argv[1])))
"""


def queued_run(lines: int = 1) -> Run:
    run = runs.queue_run(make_round(), "dpo", lambda folder: {"lines": lines}, actor=None)
    assert isinstance(run, Run)
    return run


def pending_reference() -> Reference:
    reference = make_reference(make_group())
    Reference.objects.filter(pk=reference.pk).update(curation=Curation.PENDING)
    return reference


def metric_processes(run: Run) -> set[int]:
    return {line["process"] for line in runs.run_dir(run).read_metrics()}


@pytest.fixture
def slow_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that needs no model, as a module that workers find."""
    (tmp_path / "slow_command.py").write_text(SLOW_COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "slow_command"


# -- whose clock decides ----------------------------------------------------------------------------


def look_for_what_was_lost(skew: timedelta) -> None:
    """As a worker whose clock is fast."""
    honest = timezone.now
    timezone.now = lambda: honest() + skew
    runs.requeue_lost_runs(), curation.QUEUE.requeue_lost(), downloads.QUEUE.requeue_lost()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("skew_s", [-45, 45, 3600])
def test_a_worker_whose_clock_is_wrong_takes_nobodys_work(skew_s: int):
    run, reference = queued_run(), pending_reference()
    file = downloads.request_file(make_user("lea"))
    worker = uuid4()
    assert runs.claim_run(run.pk, worker) and curation.claim_curation(reference.pk, worker)
    JudgmentFile.objects.filter(pk=file.pk).update(status=RunStatus.RUNNING, worker=worker)
    assert ended(lambda: look_for_what_was_lost(timedelta(seconds=skew_s))) == 0
    assert runs.renew_run(run, worker) is RunStatus.RUNNING
    assert Reference.objects.get(pk=reference.pk).curation_worker == worker
    assert JudgmentFile.objects.get(pk=file.pk).worker == worker


@pytest.mark.django_db
@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_what_a_person_holds_ends_by_the_databases_clock(monkeypatch, ana, skew: timedelta):
    pair = make_pair()
    honest = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: honest() + skew)
    held = slots.lease_slot(ana, Track.IDENTITY)
    assert held is not None and held.pair == pair
    until = slots.renew_lease(ana, held.lease)
    assert abs(until - honest()) < timedelta(seconds=settings.LEASE_S + 60)
    assert slots.lease_slot(make_user("ben"), Track.IDENTITY) != held
    said = judgments.submit_judgment(ana, held.lease, "left", idempotency_key=uuid4())
    assert abs(said.created_at - honest()) < timedelta(minutes=1)
    judgments.revise_judgment(ana, held.lease, "right", idempotency_key=uuid4())


def test_no_code_of_the_site_asks_its_own_clock():
    """What is shown, not decided, may come from it: columns that nobody compares."""
    asks = re.compile(r"\b(timezone|datetime)\.(now|utcnow)\(")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "annotate").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if asks.search(line) and "migrations" not in path.parts
    ]
    assert found == []


# -- attempts ---------------------------------------------------------------------------------------


def lose(run: Run) -> None:
    assert runs.claim_run(run.pk, uuid4()) is not None
    Run.objects.filter(pk=run.pk).update(heartbeat_at=Now() - runs.LOST_AFTER - timedelta(seconds=1))


@pytest.mark.django_db
def test_a_run_that_loses_its_worker_three_times_fails_in_words_and_can_be_queued_again(lea):
    run = queued_run()
    for attempt in (1, 2):
        lose(run)
        assert runs.requeue_lost_runs() == [run.pk], attempt
    lose(run)
    assert runs.requeue_lost_runs() == []
    run.refresh_from_db()
    assert (run.status, run.attempts) == (RunStatus.FAILED, 3)
    assert "its worker was lost 3 times" in run.error and run.ended_at is not None
    assert runs.retry_run(run, lea)
    lose(run)
    assert runs.requeue_lost_runs() == [run.pk]


@pytest.mark.django_db
def test_a_worker_that_is_stopped_in_good_order_costs_no_attempt():
    run = queued_run()
    for _ in range(5):
        worker = uuid4()
        assert runs.claim_run(run.pk, worker) is not None
        runs.QUEUE.let_go(run.pk, worker)
        assert runs.requeue_lost_runs() == [run.pk]
    run.refresh_from_db()
    assert (run.status, run.attempts) == (RunStatus.QUEUED, 0)


@pytest.mark.django_db
def test_a_reference_and_a_file_that_lose_their_worker_three_times_fail_in_words(lea):
    reference, file = pending_reference(), downloads.request_file(lea)
    for _ in range(3):
        assert curation.claim_curation(reference.pk, uuid4()) is not None
        Reference.objects.update(curation_heartbeat_at=Now() - curation.LOST_AFTER - timedelta(seconds=1))
        running = {"status": RunStatus.RUNNING, "attempts": file.attempts + 1, "worker": uuid4()}
        JudgmentFile.objects.update(
            heartbeat_at=Now() - downloads.LOST_AFTER - timedelta(seconds=1), **running
        )
        curation.QUEUE.requeue_lost(), downloads.QUEUE.requeue_lost()
        reference.refresh_from_db(), file.refresh_from_db()
    assert reference.curation == Curation.FAILED and "lost 3 times" in reference.curation_error
    assert file.status == RunStatus.FAILED and "lost 3 times" in file.error
    assert curation.queue_curation(Reference.objects.all()) == [reference.pk]
    assert curation.claim_curation(reference.pk, uuid4()).curation_attempts == 1


# -- a database that goes away ----------------------------------------------------------------------


@pytest.fixture
def closed_for_a_while() -> Iterator[threading.Event]:
    """While the event is set, the database takes no connection and ends those that there are."""
    is_closed, is_over = threading.Event(), threading.Event()
    settings_dict = connection.settings_dict
    name = settings_dict["NAME"]
    address = f"host={settings_dict['HOST']} user={settings_dict['USER']} dbname=postgres"

    def keep_closed() -> None:
        with psycopg.connect(address, autocommit=True) as other:
            while not is_over.wait(0.05):
                if is_closed.is_set():
                    other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                    )
                else:
                    other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    thread = threading.Thread(target=keep_closed)
    thread.start()
    yield is_closed
    is_closed.clear()
    time.sleep(0.5)
    is_over.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_command_outlives_a_database_that_goes_away(slow_command, closed_for_a_while):
    run = queued_run(lines=80)
    worker = start_python(WORKER, run.pk, slow_command)
    wait_until(lambda: len(runs.run_dir(run).read_metrics()) > 5, "the command's first lines")
    before = len(runs.run_dir(run).read_metrics())
    connection.close()
    closed_for_a_while.set()
    wait_until(lambda: len(runs.run_dir(run).read_metrics()) > before + 30, "three seconds without it")
    closed_for_a_while.clear()
    assert worker.wait(60) == 0
    run.refresh_from_db()
    assert (run.status, run.attempts, run.metrics.count()) == (RunStatus.DONE, 1, 80)
    assert len(metric_processes(run)) == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_command_that_two_workers_are_given_waits_for_the_first_ones_end(slow_command):
    run = queued_run(lines=60)
    first = start_python(WORKER, run.pk, slow_command)
    wait_until(lambda: len(runs.run_dir(run).read_metrics()) > 5, "the command's first lines")
    Run.objects.filter(pk=run.pk).update(status=RunStatus.QUEUED, worker=uuid4())
    second = start_python(WORKER, run.pk, slow_command)
    assert (first.wait(60), second.wait(60)) == (0, 0)
    run.refresh_from_db()
    assert (run.status, run.error, run.attempts, run.metrics.count()) == (RunStatus.DONE, "", 2, 60)
    assert len(metric_processes(run)) == 2


@pytest.mark.django_db
def test_a_run_that_nobody_else_has_begun_stays_with_its_worker():
    run, worker = queued_run(), uuid4()
    assert runs.claim_run(run.pk, worker) is not None
    Run.objects.filter(pk=run.pk).update(heartbeat_at=Now() - runs.LOST_AFTER - timedelta(seconds=1))
    assert runs.requeue_lost_runs() == [run.pk]
    assert runs.renew_run(run, worker) is RunStatus.RUNNING
    assert runs.claim_run(run.pk, uuid4()) is None


@pytest.mark.django_db(transaction=True)
def test_the_database_is_waited_for_and_then_given_up():
    tries: list[int] = []

    def ask() -> int:
        tries.append(1)
        connection.ensure_connection()
        if len(tries) < 3:
            connection.connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 7")
            return cursor.fetchone()[0]

    assert patiently(ask) == 7 and len(tries) == 3
    tries.clear()
    with pytest.raises((OperationalError, InterfaceError)):
        patiently(ask, patience_s=0.1)
    assert len(tries) == 1


# -- work that one does at a time -------------------------------------------------------------------


@pytest.mark.django_db
def test_a_work_is_held_by_one_and_freed_at_its_end():
    with hold("work") as first, hold("work") as second, hold("other work") as third:
        assert (first, second, third) == (True, False, True)
    with pytest.raises(ZeroDivisionError), hold("work") as again:
        assert again
        raise ZeroDivisionError
    assert not Claim.objects.exists()


@pytest.mark.django_db
def test_the_work_of_a_killed_worker_is_free_after_a_minute():
    Claim.objects.create(name="work", worker=uuid4(), expires_at=Now() + timedelta(seconds=1))
    with hold("work") as is_alone:
        assert not is_alone
    Claim.objects.update(expires_at=Now() - timedelta(seconds=1))
    with hold("work") as is_alone:
        assert is_alone


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_work_that_takes_long_stays_held(monkeypatch):
    monkeypatch.setattr("annotate.database.claims.LASTS_S", 0.5)
    monkeypatch.setattr("annotate.database.claims.RENEW_S", 0.1)
    with hold("work"):
        time.sleep(1.5)
        with hold("work") as is_alone:
            assert not is_alone
