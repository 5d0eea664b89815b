"""Reads of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from annotate.background.kinds import looks
from annotate.models import LIVE, Job, Round, RunStatus, User

#: For so long a page shows what a look found.
FRESH = timedelta(minutes=5)


def visible_jobs(user: User) -> QuerySet[Job]:
    """What leads asked for; looks are parts of pages, and in no list."""
    jobs = Job.objects.select_related("round", "asked_by").exclude(kind__in=looks())
    return jobs if user.is_lead else jobs.none()


def newest_look(kind: str, round: Round | None, values: dict[str, Any]) -> Job | None:
    """The newest look at the same that is under way, or was done of late."""
    same = Job.objects.filter(kind=kind, round=round, values=values).order_by("-id")
    return same.filter(Q(status__in=[*LIVE]) | Q(status=RunStatus.DONE, ended_at__gt=Now() - FRESH)).first()
