"""The worker of jobs, in the process of a test."""

from __future__ import annotations

from annotate.background.tasks import do_job
from annotate.models import Job, RunStatus


def do_jobs() -> Job:
    """Do all that waits, and give the newest job."""
    for key in Job.objects.filter(status=RunStatus.QUEUED).values_list("pk", flat=True):
        do_job(key)
    newest = Job.objects.select_related("round").last()
    assert newest is not None, "nobody asked for a job"
    return newest
