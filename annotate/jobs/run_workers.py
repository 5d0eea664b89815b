"""Workers that take whole runs: how many devices each has, and from which queues it takes runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread
from typing import Any

from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotate.fleet.devices import of_whole_runs
from annotate.models import Run, RunWorker

logger = logging.getLogger(__name__)

#: How often a worker says that it is there, and how long it counts as there after that.
ANNOUNCE_S, GONE_AFTER = 20.0, timedelta(seconds=60)
#: Runs on one device wait here; those on n devices in a queue of their own, taken by workers that have n.
QUEUE = "runs"


def queue_for(devices: int) -> str:
    return QUEUE if devices == 1 else f"{QUEUE}-{devices}"


def devices_here() -> tuple[int, str]:
    """How many devices a whole run may have on this machine, and what they are."""
    return of_whole_runs(settings.RUN_ENVIRONMENT, settings.CPU_DEVICES)


def announce(name: str, devices: int, description: str) -> None:
    RunWorker.objects.update_or_create(
        name=name, defaults={"devices": devices, "description": description, "heartbeat_at": Now()}
    )
    RunWorker.objects.filter(heartbeat_at__lt=Now() - timedelta(days=1)).delete()


def leave(name: str) -> None:
    RunWorker.objects.filter(name=name).delete()


def present() -> QuerySet[RunWorker]:
    """Who said lately that it is there, the largest first."""
    return RunWorker.objects.filter(heartbeat_at__gt=Now() - GONE_AFTER)


def too_few_devices(run_id: int) -> str:
    """Why a run is not this machine's, whatever queue its message came by; empty where it is."""
    run = Run.objects.filter(pk=run_id, devices__gt=1).select_related("round").first()
    if run is None or run.devices <= (here := devices_here()[0]):
        return ""
    return (
        f"{run} needs {run.devices} devices, and this machine has {here}; "
        "start a run-worker where there are as many, or set CPU_DEVICES"
    )


class _Announcements:
    """A worker's own, from a thread beside its work, until it ends."""

    def __init__(self) -> None:
        self.is_over = Event()
        self.thread: Thread | None = None

    def start(self, name: str) -> None:
        if self.thread is None:  # a worker is ready again whenever its broker was away
            self.thread = Thread(target=self._keep_on, args=[name], daemon=True)
            self.thread.start()

    def end(self) -> None:
        self.is_over.set()
        if self.thread is not None:
            self.thread.join(5)

    def _keep_on(self, name: str) -> None:
        devices, description = devices_here()
        while not self.is_over.is_set():
            self._say(lambda: announce(name, devices, description))
            self.is_over.wait(ANNOUNCE_S)
        self._say(lambda: leave(name))
        connection.close()

    def _say(self, what: Callable[[], None]) -> None:
        try:
            what()
        except (OperationalError, InterfaceError) as error:  # it is said again
            logger.warning("not announced, because the database cannot be reached: %s", error)
            connection.close()


_announcements = _Announcements()


@celeryd_after_setup.connect
def take_larger_runs(instance: Any, **_: Any) -> None:
    """Whoever takes runs takes those that its devices suffice for."""
    queues = instance.app.amqp.queues
    if QUEUE in queues.consume_from:
        for devices in range(2, devices_here()[0] + 1):
            queues.select_add(queue_for(devices))


@worker_ready.connect
def begin_to_announce(sender: Any, **_: Any) -> None:
    if QUEUE in sender.app.amqp.queues.consume_from:
        _announcements.start(sender.hostname)


@worker_shutdown.connect
def end_announcing(**_: Any) -> None:
    _announcements.end()
