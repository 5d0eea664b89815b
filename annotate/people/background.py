"""Judging everybody by other thresholds as a job."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.models import Job
from annotate.people.filtering import apply_thresholds


def apply(job: Job, tell: Tell) -> Outcome:
    changed = apply_thresholds(job.values, job.asked_by, tell=tell)
    return Outcome(f"The thresholds hold now; {changed} references got other reasons.", reverse("thresholds"))


APPLY_THRESHOLDS = register(
    JobKind("apply_thresholds", "Judging references by other thresholds", apply, refusals=(ValueError,))
)
