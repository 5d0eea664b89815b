"""Celery: fetch by id, call one service or launch one command, record the end."""

from __future__ import annotations

import logging
import subprocess
import time
from typing import Any
from uuid import UUID, uuid4

from celery import current_app, shared_task
from django.conf import settings
from kombu import Queue
from kombu.exceptions import OperationalError

from annotate.database.patience import patiently
from annotate.fleet.messages import (
    REPORT_QUEUE,
    SHARD_QUEUE,
    SHARD_TASK,
    STOP_COMMAND,
    ForgedMessage,
    Kind,
    Report,
    Stop,
    seal,
    unseal,
)
from annotate.fleet.run_command import run_command
from annotate.fleet.turns import Turns
from annotate.jobs import reports, run_logs, run_workers, runs, shards
from annotate.jobs.dispatch import hand_out
from annotate.jobs.run_folders import WorkFolder, work_folder
from annotate.jobs.sending import send
from annotate.jobs.stages import work_of
from annotate.models import Run, RunStatus
from annotate.storage.interface import StorageError

logger = logging.getLogger(__name__)

#: How often a run is renewed, followed, and asked whether it was cancelled.
POLL_S = 0.5
#: How long a cancelled command may take to end by itself.
TERMINATE_S = 20
#: How long a report waits at most before it is tried again with a storage that fails.
MAX_REPORT_PAUSE_S = 30
#: Reports that may be unread while workers are looked for that say nothing.
UNREAD_REPORTS = 100


@shared_task
def execute_run(run_id: int) -> None:
    """Run one stage's command in its folder; a second delivery of the same id does nothing."""
    if why := run_workers.too_few_devices(run_id):
        logger.error("%s", why)
        return
    worker = uuid4()
    run = runs.claim_run(run_id, worker)
    if run is None:
        return
    try:
        with work_folder(run.folder, lambda: runs.QUEUE.renew(run.pk, worker)) as folder:
            _work(run, worker, folder)
    except StorageError as error:
        message = str(error)
        patiently(lambda: runs.end_run(run, worker, RunStatus.FAILED, message))


def _work(run: Run, worker: UUID, folder: WorkFolder) -> None:
    work = work_of(run.stage)
    if why := work.refusal(run, folder):
        runs.end_run(run, worker, RunStatus.FAILED, why)
        return
    turns = Turns(settings.VAR_DIR / "devices")
    try:
        if _wait_for_devices(run, worker, turns):
            _execute(run, worker, work.command, folder)
    finally:
        turns.leave()


def _wait_for_devices(run: Run, worker: UUID, turns: Turns) -> bool:
    """Wait until samplers have made way; False where the run is cancelled meanwhile."""
    try:
        while not turns.take_alone():
            status = patiently(lambda: runs.renew_run(run, worker))
            if status is RunStatus.CANCELLING:
                runs.end_run(run, worker, RunStatus.CANCELLED)
            if status is not RunStatus.RUNNING:
                return False
            time.sleep(POLL_S)
    except SystemExit:
        runs.QUEUE.let_go(run.pk, worker)
        raise
    return True


def _execute(run: Run, worker: UUID, command: str, folder: WorkFolder) -> None:
    with open(folder.path / run_logs.LOG, "ab") as log:
        # The command ends by itself when this pipe closes, so it never outlives a killed worker.
        child = subprocess.Popen(
            run_command(command, folder.path, run.devices),
            cwd=settings.BASE_DIR,
            env=settings.RUN_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            status = _watch(run, worker, child, folder)
        except SystemExit:  # the worker is being stopped
            _end(child)
            folder.store(at_end=True)
            runs.QUEUE.let_go(run.pk, worker)
            raise
        finally:
            _end(child)
    if status is not None:
        folder.store(at_end=True)
        patiently(lambda: _record_end(run, worker, status, child.returncode, folder))


def _record_end(run: Run, worker: UUID, status: RunStatus, returncode: int, folder: WorkFolder) -> None:
    if status is RunStatus.CANCELLED:
        runs.end_run(run, worker, RunStatus.CANCELLED)
    elif returncode == 0:
        if runs.finish_run(run, worker, folder):
            send_run(work_of(run.stage).next_run(run))
    else:
        runs.end_run(run, worker, RunStatus.FAILED, run_logs.why_it_ended(run, returncode))


def _watch(run: Run, worker: UUID, child: subprocess.Popen[bytes], folder: WorkFolder) -> RunStatus | None:
    """Follow the command until it ends, is cancelled, or is no longer this worker's (None).

    A database that is away does not stop it: the command knows only its folder. After some minutes without
    one it is ended all the same, and the run is found by its heartbeat.
    """
    while True:
        ended = child.poll() is not None
        status = patiently(lambda: _follow(run, worker, folder))
        if status is None:
            logger.warning("%s was taken over by another worker", run)
            return None
        if ended:
            return (
                RunStatus.CANCELLED if status is RunStatus.CANCELLING and child.returncode else RunStatus.DONE
            )
        if status is RunStatus.CANCELLING:
            return RunStatus.CANCELLED
        time.sleep(POLL_S)


def _follow(run: Run, worker: UUID, folder: WorkFolder) -> RunStatus | None:
    folder.store()
    runs.follow_run(run, folder)
    return runs.renew_run(run, worker)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin:
        child.stdin.close()


def send_run(run: Run | None) -> None:
    """Hand a queued run to a worker; one that waits for approval, or none, is nobody's yet."""
    if run is None or run.status != RunStatus.QUEUED:
        return
    if work_of(run.stage).sharding:
        send(send_shards)
    else:
        send(execute_run, run.pk, queue="" if run.devices == 1 else run_workers.queue_for(run.devices))


def has_worker(run: Run) -> bool:
    """Whether somebody takes such runs from their queue; one that is too busy to answer counts as nobody."""
    queue = SHARD_QUEUE if work_of(run.stage).sharding else run_workers.queue_for(run.devices)
    try:
        queues_of_workers = current_app.control.inspect(timeout=2.0).active_queues() or {}
    except OperationalError:
        return False
    return any(taken["name"] == queue for queues in queues_of_workers.values() for taken in queues)


@shared_task
def requeue_lost_runs() -> None:
    for run_id in runs.requeue_lost_runs():
        send_run(Run.objects.get(pk=run_id))


@shared_task
def send_shards() -> None:
    """Send as many shards as GPU workers will soon take; while the storage fails, they wait."""
    room = shards.room_with_the_broker()
    try:
        for message in hand_out(shards.next_shards(room) if room > 0 else []):
            current_app.send_task(SHARD_TASK, [seal(settings.FLEET_KEY, message)], queue=SHARD_QUEUE)
    except StorageError as error:
        logger.warning("shards wait, because their request cannot be read: %s", error)


# Nobody says it twice, so a report is kept for as long as the storage fails. Others pass it meanwhile.
@shared_task(
    autoretry_for=(StorageError,), max_retries=None, retry_backoff=2, retry_backoff_max=MAX_REPORT_PAUSE_S
)
def take_report(sealed: str) -> None:
    """Store what a worker says, and have it stop where the shard is not its own any more."""
    try:
        report = unseal(settings.FLEET_KEY, sealed, Report)
    except ForgedMessage as error:
        logger.warning("%s", error)
        return
    if not reports.take(report):
        stop = seal(settings.FLEET_KEY, Stop(claim=report.claim, ticket=report.ticket))
        current_app.control.broadcast(STOP_COMMAND, {"sealed": stop}, destination=[report.worker])
    if report.kind not in (Kind.ALIVE, Kind.MADE):
        send_shards()


@shared_task
def requeue_lost_shards() -> None:
    """Find what lost its worker, its message or its end, once all is read that workers have said."""
    if messages_in(REPORT_QUEUE) > UNREAD_REPORTS:
        return
    shards.requeue_lost(messages_in(SHARD_QUEUE))
    for run_id in runs.unconcluded_runs():
        try:
            runs.conclude_run(run_id)
        except StorageError as error:
            logger.warning("run %s does not end yet: %s", run_id, error)
    send_shards()


def messages_in(queue: str) -> int:
    """How many messages wait there with the broker."""
    with current_app.connection_for_write() as connection:
        found: Any = Queue(queue, channel=connection.default_channel).queue_declare()
        return int(found.message_count)
