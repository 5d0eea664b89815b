"""Workers that take whole runs, as they said of themselves."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotate.models.constraints import check


class RunWorker(models.Model):
    """What launches are offered. Who may do a run is decided by its row, not by this."""

    name = models.CharField(max_length=255, primary_key=True)  # as Celery has it: runs@trainer-1
    devices = models.PositiveSmallIntegerField()
    description = models.CharField(max_length=255)  # of the devices
    heartbeat_at = models.DateTimeField()

    class Meta:
        ordering = ["-devices", "name"]
        constraints = [check(Q(devices__gte=1), "worker_has_a_device")]

    def __str__(self) -> str:
        return self.name

    @property
    def machine(self) -> str:
        return self.name.rpartition("@")[2]
