"""A worker in this very process, where no other one runs: it asks the rows and needs no broker."""

from __future__ import annotations

import socket
from uuid import uuid4

from django.conf import settings

from annotate.fleet.resident import SAMPLER, Resident
from annotate.fleet.work import Worker
from annotate.jobs import reports
from annotate.jobs.dispatch import hand_out
from annotate.models import Run, Shard, ShardStatus
from annotate.storage.opening import site_storage


def work_here(run: Run, sampler: str = SAMPLER) -> None:
    """Do the shards of a run, one after another, until none is left or one could not be done."""
    name = f"here-{uuid4()}@{socket.gethostname()}"
    worker = Worker(
        name=name,
        device="this machine",
        storage=site_storage(),
        folder=settings.VAR_DIR / "fleet" / name,
        resident=Resident(sampler, settings.BASE_DIR, settings.RUN_ENVIRONMENT),
        report=reports.take,
    )
    try:
        while waiting := Shard.objects.filter(run=run, status=ShardStatus.QUEUED).order_by("number").first():
            for message in hand_out([waiting.pk]):
                fault = worker.work(message)
                if fault is not None and fault.is_the_workers:
                    return
    finally:
        worker.resident.let_go()
