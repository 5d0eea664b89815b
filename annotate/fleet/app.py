"""The workers' Celery: a shard is a task, and so is a whole run. Nothing here knows Django or a database."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
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
from annotate.fleet.faults import Fault
from annotate.fleet.messages import (
    HERE_EVERY_S,
    REPORT_QUEUE,
    REPORT_TASK,
    RUN_TASK,
    SHARD_QUEUE,
    SHARD_TASK,
    STOP_COMMAND,
    ForgedMessage,
    Kind,
    Message,
    Report,
    RunMessage,
    ShardMessage,
    Stop,
    queue_for,
    seal,
    unseal,
)
from annotate.fleet.resident import Resident
from annotate.fleet.turns import Turns
from annotate.fleet.whole_runs import RunWorker
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

_is_ending, _is_announced = Event(), Event()
_worker: Worker | None = None
_run_worker: RunWorker | None = None


def serve(device: Device, *, stand_in: str = "") -> None:
    """Take shards for a device until the process is told to end; see `Resident` for `stand_in`."""
    global _worker
    name = f"gpu-{device.label}@{socket.gethostname()}"
    _worker = Worker(
        name=name,
        device=device.description,
        storage=backend_of(settings.STORAGE, settings),
        folder=settings.VAR_DIR / "fleet" / name,
        resident=Resident(Path(settings.BASE_DIR), device.environment | settings.RUN_ENVIRONMENT, stand_in),
        report=report,
    )
    try:
        _take_from(SHARD_QUEUE, name)
    finally:
        _worker.resident.let_go()


def serve_runs(devices: list[Device]) -> None:
    """Take whole runs for all of these devices until the process is told to end."""
    global _run_worker
    name = f"runs@{socket.gethostname()}"
    _run_worker = RunWorker(
        name=name,
        device=", ".join(dict.fromkeys(device.description for device in devices)),
        devices=len(devices),
        storage=backend_of(settings.STORAGE, settings),
        turns=_turns,
        folder=Path(settings.BASE_DIR),
        environment=settings.RUN_ENVIRONMENT,
        report=report,
    )
    _take_from(",".join(map(queue_for, range(1, _run_worker.devices + 1))), name)


def _take_from(queues: str, name: str) -> None:
    options = ["--pool", "threads", "--concurrency", "1", "--queues", queues, "--hostname", name]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", settings.LOG_LEVEL]
    app.worker_main(["--quiet", "worker", *options, *quiet])


@app.task(name=SHARD_TASK)
def work(sealed: str) -> None:
    """Do a shard."""
    if _worker is None or (message := _work_in(sealed, ShardMessage)) is None:
        return
    if not _turns.take_shared():
        _worker.decline(message)
        while not _turns.take_shared() and not _is_ending.wait(MAKE_WAY_EVERY_S):
            continue
        return
    _do(_worker.work, message)


@app.task(name=RUN_TASK)
def work_on_run(sealed: str) -> None:
    """Do a whole run."""
    if _run_worker is not None and (message := _work_in(sealed, RunMessage)) is not None:
        _do(_run_worker.work, message)


def _work_in(sealed: str, kind: type[Message]) -> Message | None:
    message = _opened(sealed, kind)
    if message is not None and _is_ending.is_set():
        raise Reject("this worker ends", requeue=True)
    return message


def _opened(sealed: str, kind: type[Message]) -> Message | None:
    try:
        return unseal(settings.FLEET_KEY, sealed, kind)
    except ForgedMessage as error:
        logger.warning("%s", error)
        return None


def _do(work: Callable[[Message], Fault | None], message: Message) -> None:
    """After something that could not be done, somebody else has time to take it."""
    _tickets.append(message.ticket)
    try:
        fault = work(message)
    finally:
        _tickets.clear()
    _faults.append(fault) if fault else _faults.clear()
    if fault:
        _is_ending.wait(min(PAUSE_S * 2 ** (len(_faults) - 1), LONGEST_PAUSE_S))


def _make_way() -> None:
    """Between shards, a model that is loaded goes as soon as a whole run wants the devices."""
    while not _is_ending.wait(MAKE_WAY_EVERY_S):
        if _worker is not None and not _tickets and _turns.are_wanted():
            _worker.resident.let_go()
            _turns.leave()


_turns = Turns(settings.VAR_DIR / "devices")
#: Of the message under way.
_tickets: list[str] = []
_faults: list[Fault] = []


@control_command(name=STOP_COMMAND, args=[("sealed", str)])
def stop(state: Any, sealed: str) -> None:
    """Stop what is not this worker's any more."""
    order = _opened(sealed, Stop)
    for worker in (_worker, _run_worker):
        if order and worker and order.claim == worker.claim and order.ticket in _tickets:
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
            if said.kind in (Kind.ALIVE, Kind.HERE) or time.monotonic() > began + patience:
                logger.warning("not reported, because the broker cannot be reached: %s", error)
                return True
        else:
            return True
        time.sleep(1.0)


@worker_ready.connect
def greet(**_: object) -> None:
    if _worker is not None:
        _worker.hello()
        threading.Thread(target=_make_way, daemon=True).start()
    # A worker is ready again whenever its broker was away.
    if _run_worker is not None and not _is_announced.is_set():
        _is_announced.set()
        threading.Thread(target=_stay_announced, args=[_run_worker], daemon=True).start()


def _stay_announced(worker: RunWorker) -> None:
    while True:
        worker.say_here()
        if _is_ending.wait(HERE_EVERY_S):
            return


@worker_shutting_down.connect
def hand_back(**_: object) -> None:
    """On SIGTERM: the shard or the run goes back at once, with what is finished of it."""
    _is_ending.set()
    for worker in (_worker, _run_worker):
        if worker is not None:
            worker.is_stopped.set()
