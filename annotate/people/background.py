"""What thresholds cost a large collection, and judging everybody by others, as jobs."""

from __future__ import annotations

from dataclasses import asdict

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.models import AppliedThresholds, Job
from annotate.people.filtering import apply_thresholds
from annotate.people.queries import all_measures
from generator.curation.filters import Thresholds, what_if


def look(job: Job, tell: Tell) -> Outcome:
    """What each threshold costs, where these values are tried."""
    measures = all_measures()
    costs = [asdict(cost) for cost in what_if(measures, Thresholds(**job.values))]
    return Outcome("", reverse("thresholds"), result={"costs": costs, "num_references": len(measures)})


def apply(job: Job, tell: Tell) -> Outcome:
    page = reverse("thresholds")
    mine = AppliedThresholds.objects.filter(author=job.asked_by, at__gt=job.created_at)
    if job.attempts > 1 and mine.filter(values__contains=job.values).exists():
        return Outcome("The thresholds hold now.", page)
    changed = apply_thresholds(job.values, job.asked_by, tell=tell)
    return Outcome(f"The thresholds hold now; {changed} references got other reasons.", page)


LOOK = register(JobKind("look_at_thresholds", "What thresholds cost", look, is_look=True))
APPLY_THRESHOLDS = register(
    JobKind("apply_thresholds", "Judging references by other thresholds", apply, refusals=(ValueError,))
)
