"""The workers' Celery: one task, which does a shard. Nothing here knows Django or the database."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from threading import Event
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from celery.signals import worker_ready, worker_shutting_down
from celery.worker.control import control_command
from kombu.exceptions import OperationalError

from annotate import settings
from annotate.fleet.devices import Device
from annotate.fleet.messages import (
    REPORT_QUEUE,
    REPORT_TASK,
    SHARD_QUEUE,
    SHARD_TASK,
    STOP_COMMAND,
    ForgedMessage,
    Kind,
    Report,
    ShardMessage,
    Stop,
    seal,
    unseal,
)
from annotate.fleet.resident import SAMPLER, Resident
from annotate.fleet.turns import Turns
from annotate.fleet.work import Worker
from annotate.storage.backends import backend_of

logger = logging.getLogger(__name__)


#: How long a worker that could not do a shard leaves the next to others; each time longer.
PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0
#: How often an idle worker looks whether a whole run wants the devices.
MAKE_WAY_EVERY_S = 1.0
#: How long a broker that is away is waited for with something that must be said, also at the very end.
BROKER_PATIENCE_S, LAST_PATIENCE_S = 600.0, 5.0

# Django is kept out even where the environment names its settings.
app = Celery("fleet", fixups=[], set_as_current=False)
_PREFIX = "CELERY_"
app.conf.update(
    {
        name[len(_PREFIX) :].lower(): value
        for name, value in vars(settings).items()
        if name.startswith(_PREFIX)
    }
)
app.conf.beat_schedule = {}

_is_ending = Event()
_worker: Worker | None = None


def serve(device: Device, *, sampler: str = SAMPLER) -> None:
    """Take shards for a device until the process is told to end."""
    global _worker
    name = f"gpu-{device.label}@{socket.gethostname()}"
    folder = settings.VAR_DIR / "fleet" / name
    _worker = Worker(
        name=name,
        device=device.description,
        storage=backend_of(settings.STORAGE, settings),
        folder=folder,
        resident=Resident(sampler, Path(settings.BASE_DIR), settings.RUN_ENVIRONMENT),
        report=report,
    )
    options = ["--pool", "threads", "--concurrency", "1", "--queues", SHARD_QUEUE, "--hostname", name]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", settings.LOG_LEVEL]
    try:
        app.worker_main(["--quiet", "worker", *options, *quiet])
    finally:
        _worker.resident.let_go()


@app.task(name=SHARD_TASK)
def work(sealed: str) -> None:
    """Do a shard. After one that could not be done, somebody else has time to take it."""
    worker = _this_worker()
    try:
        message = unseal(settings.FLEET_KEY, sealed, ShardMessage)
    except ForgedMessage as error:
        logger.warning("%s", error)
        return
    if _is_ending.is_set():
        raise Reject("this worker ends", requeue=True)
    if not _turns.take_shared():
        worker.decline(message)
        while not _turns.take_shared() and not _is_ending.wait(MAKE_WAY_EVERY_S):
            continue
        return
    _current.append(message)
    try:
        fault = worker.work(message)
    finally:
        _current.clear()
    _faults.append(fault) if fault else _faults.clear()
    if fault:
        _is_ending.wait(min(PAUSE_S * 2 ** (len(_faults) - 1), LONGEST_PAUSE_S))


def _make_way() -> None:
    """Between shards, a model that is loaded goes as soon as a whole run wants the devices."""
    while not _is_ending.wait(MAKE_WAY_EVERY_S):
        if not _current and _turns.are_wanted():
            _this_worker().resident.let_go()
            _turns.leave()


_turns = Turns(settings.VAR_DIR / "devices")
_current: list[ShardMessage] = []
_faults: list[object] = []


@control_command(name=STOP_COMMAND, args=[("sealed", str)])
def stop(state: Any, sealed: str) -> None:
    """Stop a shard that is not this worker's any more."""
    try:
        order = unseal(settings.FLEET_KEY, sealed, Stop)
    except ForgedMessage as error:
        logger.warning("%s", error)
        return
    worker = _this_worker()
    if order.claim == worker.claim and order.ticket in {message.ticket for message in _current}:
        worker.is_stopped.set()


def report(said: Report) -> bool:
    """Send a report. The answer, where there is one, comes as an order to stop.

    Signs of life are worth nothing later; anything else is kept until the broker is there again.
    """
    sealed = seal(settings.FLEET_KEY, said)
    began = time.monotonic()
    while True:
        try:
            app.send_task(REPORT_TASK, [sealed], queue=REPORT_QUEUE, retry=False)
        except OperationalError as error:
            patience = LAST_PATIENCE_S if _is_ending.is_set() else BROKER_PATIENCE_S
            if said.kind == Kind.ALIVE or time.monotonic() > began + patience:
                logger.warning("not reported, because the broker cannot be reached: %s", error)
                return True
        else:
            return True
        time.sleep(1.0)


@worker_ready.connect
def greet(**_: object) -> None:
    _this_worker().hello()
    threading.Thread(target=_make_way, daemon=True).start()


@worker_shutting_down.connect
def hand_back(**_: object) -> None:
    """On SIGTERM: the shard goes back at once, with what is finished of it."""
    _is_ending.set()
    _this_worker().is_stopped.set()


def _this_worker() -> Worker:
    if _worker is None:
        raise RuntimeError("no worker serves in this process; start `python -m annotate.fleet`")
    return _worker
