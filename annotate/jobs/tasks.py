"""Celery: what is sent to GPU workers, and what comes back from them."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from celery import current_app, shared_task
from django.conf import settings
from kombu import Queue
from kombu.exceptions import OperationalError

from annotate.database.patience import patiently
from annotate.fleet.messages import (
    REPORT_QUEUE,
    RUN_TASK,
    SHARD_QUEUE,
    SHARD_TASK,
    STOP_COMMAND,
    ForgedMessage,
    Kind,
    Report,
    Stop,
    queue_for,
    seal,
    unseal,
)
from annotate.jobs import dispatch, reports, runs, shards
from annotate.jobs.sending import send
from annotate.models import Run, RunStatus
from annotate.storage.interface import StorageError

logger = logging.getLogger(__name__)

#: How long a report waits at most before it is tried again with a storage that fails.
MAX_REPORT_PAUSE_S = 30
#: Reports that may be unread while workers are looked for that say nothing.
UNREAD_REPORTS = 100


def send_run(run: Run | None) -> None:
    """Hand a queued run to a worker; one that waits for approval, or none, is nobody's yet."""
    if run is None or run.status != RunStatus.QUEUED:
        return
    if shards.are_live(run):
        send(send_shards)
    else:
        send(send_whole_run, run.pk)


def has_worker(run: Run) -> bool:
    """Whether somebody takes such runs from their queue; one that is too busy to answer counts as nobody."""
    queue = SHARD_QUEUE if shards.are_live(run) else queue_for(run.devices)
    try:
        queues_of_workers = current_app.control.inspect(timeout=2.0).active_queues() or {}
    except OperationalError:
        return False
    return any(taken["name"] == queue for queues in queues_of_workers.values() for taken in queues)


@shared_task
def send_whole_run(run_id: int) -> None:
    if message := dispatch.whole_run(run_id):
        queue, priority = queue_for(message.devices), dispatch.urgency(run_id)
        sealed = seal(settings.FLEET_KEY, message)
        current_app.send_task(RUN_TASK, [sealed], queue=queue, priority=priority)


@shared_task
def requeue_lost_runs() -> None:
    """As `requeue_lost_shards`; where as many messages wait as runs do, none was lost."""
    if messages_in(REPORT_QUEUE) > UNREAD_REPORTS:
        return
    lost = runs.requeue_lost_runs()
    waiting = Counter(run.devices for run in dispatch.waiting_runs())
    for run in Run.objects.filter(pk__in=lost):
        if messages_in(queue_for(run.devices)) < waiting[run.devices]:
            send_run(run)


@shared_task
def send_shards() -> None:
    """Send as many shards as GPU workers will soon take; while the storage fails, they wait."""
    room = shards.room_with_the_broker()
    try:
        for message in dispatch.hand_out(shards.next_shards(room) if room > 0 else []):
            current_app.send_task(SHARD_TASK, [seal(settings.FLEET_KEY, message)], queue=SHARD_QUEUE)
    except StorageError as error:
        logger.warning("shards wait, because their request cannot be read: %s", error)


# Nobody says it twice, so a report is kept for as long as the storage fails. Others pass it meanwhile.
@shared_task(
    autoretry_for=(StorageError,), max_retries=None, retry_backoff=2, retry_backoff_max=MAX_REPORT_PAUSE_S
)
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
    if report.kind not in (Kind.ALIVE, Kind.MADE, Kind.HERE):
        send_shards()
        send_run(dispatch.run_to_end(report))


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
