"""Reads of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from annotate.models import LIVE, Job, Round, Run, RunStatus

#: For so long a page shows what a look found.
FRESH = timedelta(minutes=5)


def newest_look(kind: str, round: Round | None, values: dict[str, Any]) -> Job | None:
    """The newest look at the same that is under way, or was done of late."""
    same = Job.objects.filter(kind=kind, round=round, values=values).order_by("-id")
    return same.filter(Q(status__in=[*LIVE]) | Q(status=RunStatus.DONE, ended_at__gt=Now() - FRESH)).first()


def run_queued_by(job: Job, **of: Any) -> Run | None:
    """The run that a worker of this job had queued already when it was killed, before it could say so."""
    mine = Run.objects.filter(**of, launched_by=job.asked_by, created_at__gt=job.created_at)
    return mine.order_by("id").first() if job.attempts > 1 else None
