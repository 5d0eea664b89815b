"""A worker in this very process, where no other one runs: it asks the rows and needs no broker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from uuid import uuid4

from django.conf import settings
from django.db import connection

from annotate.database.patience import patiently
from annotate.fleet.devices import chosen_devices
from annotate.fleet.messages import Report
from annotate.fleet.resident import Resident
from annotate.fleet.turns import Turns
from annotate.fleet.whole_runs import RunWorker
from annotate.fleet.work import Worker
from annotate.jobs import dispatch, reports, shards
from annotate.models import Run, Shard, ShardStatus
from annotate.storage.opening import site_storage

_DEVICE = "this machine"


def work_here(run: Run, stand_in: str = "") -> None:
    """Do a run, or first its shards one after another, until none is left or one could not be done."""
    name = f"here-{uuid4()}@{socket.gethostname()}"
    if shards.are_live(run):
        _work_on_shards(run, name, stand_in)
    if message := dispatch.whole_run(run.pk):
        RunWorker(
            name=name,
            device=_DEVICE,
            devices=len(chosen_devices("all", settings.CPU_DEVICES)),
            storage=site_storage(),
            turns=Turns(settings.VAR_DIR / "devices"),
            folder=settings.BASE_DIR,
            environment=settings.RUN_ENVIRONMENT,
            report=_taking(),
        ).work(message)


def _work_on_shards(run: Run, name: str, stand_in: str) -> None:
    worker = Worker(
        name=name,
        device=_DEVICE,
        storage=site_storage(),
        folder=settings.VAR_DIR / "fleet" / name,
        resident=Resident(settings.BASE_DIR, settings.RUN_ENVIRONMENT, stand_in),
        report=_taking(),
    )
    try:
        while waiting := Shard.objects.filter(run=run, status=ShardStatus.QUEUED).order_by("number").first():
            for message in dispatch.hand_out([waiting.pk]):
                fault = worker.work(message)
                if fault is not None and fault.is_the_workers:
                    return
    finally:
        worker.resident.let_go()


def _taking() -> Callable[[Report], bool]:
    """Reports go to the rows; a thread that says one keeps no connection of its own."""
    owner = threading.get_ident()

    def take(report: Report) -> bool:
        try:
            return patiently(lambda: reports.take(report))
        finally:
            if threading.get_ident() != owner:
                connection.close()

    return take
