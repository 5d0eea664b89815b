"""Celery: what is sent to GPU workers, and what comes back from them."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app, shared_task
from django.conf import settings
from kombu import Queue
from kombu.exceptions import OperationalError

from annotate.database.patience import patiently
from annotate.fleet.messages import (
    REPORT_QUEUE,
    RUN_QUEUE,
    RUN_TASK,
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
from annotate.jobs import dispatch, reports, runs, shards
from annotate.jobs.sending import send
from annotate.jobs.stages import work_of
from annotate.models import Run, RunStatus

logger = logging.getLogger(__name__)

#: Reports that may be unread while workers are looked for that say nothing.
UNREAD_REPORTS = 100


def send_run(run: Run | None) -> None:
    """Hand a queued run to a worker; one that waits for approval, or none, is nobody's yet."""
    if run is None or run.status != RunStatus.QUEUED:
        return
    if work_of(run.stage).sharding:
        send(send_shards)
    else:
        send(send_whole_run, run.pk)


def has_worker(run: Run) -> bool:
    """Whether somebody takes such runs from their queue; one that is too busy to answer counts as nobody."""
    queue = SHARD_QUEUE if work_of(run.stage).sharding else RUN_QUEUE
    try:
        queues_of_workers = current_app.control.inspect(timeout=2.0).active_queues() or {}
    except OperationalError:
        return False
    return any(taken["name"] == queue for queues in queues_of_workers.values() for taken in queues)


@shared_task
def send_whole_run(run_id: int) -> None:
    if message := dispatch.whole_run(run_id):
        current_app.send_task(RUN_TASK, [seal(settings.FLEET_KEY, message)], queue=RUN_QUEUE)


@shared_task
def requeue_lost_runs() -> None:
    """As `requeue_lost_shards`; where as many messages wait as runs do, none was lost."""
    if messages_in(REPORT_QUEUE) > UNREAD_REPORTS:
        return
    lost = runs.requeue_lost_runs()
    if messages_in(RUN_QUEUE) < len(dispatch.waiting_runs()):
        for run_id in lost:
            send_run(Run.objects.get(pk=run_id))


@shared_task
def send_shards() -> None:
    """Send as many shards as GPU workers will soon take."""
    room = shards.room_with_the_broker()
    for message in dispatch.hand_out(shards.next_shards(room) if room > 0 else []):
        current_app.send_task(SHARD_TASK, [seal(settings.FLEET_KEY, message)], queue=SHARD_QUEUE)


@shared_task
def take_report(sealed: str) -> None:
    """Store what a worker says, and have it stop where the work is not its own any more."""
    try:
        report = unseal(settings.FLEET_KEY, sealed, Report)
    except ForgedMessage as error:
        logger.warning("%s", error)
        return
    if not patiently(lambda: reports.take(report)):
        stop = seal(settings.FLEET_KEY, Stop(claim=report.claim, ticket=report.ticket))
        current_app.control.broadcast(STOP_COMMAND, {"sealed": stop}, destination=[report.worker])
    if report.kind not in (Kind.ALIVE, Kind.MADE):
        send_shards()


@shared_task
def requeue_lost_shards() -> None:
    """Find what lost its worker or its message, once all is read that workers have said."""
    if messages_in(REPORT_QUEUE) <= UNREAD_REPORTS:
        for run_id in shards.requeue_lost(messages_in(SHARD_QUEUE)):
            runs.conclude_run(run_id)
        send_shards()


def messages_in(queue: str) -> int:
    """How many messages wait there with the broker."""
    with current_app.connection_for_write() as connection:
        found: Any = Queue(queue, channel=connection.default_channel).queue_declare()
        return int(found.message_count)
