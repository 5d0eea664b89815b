"""Counting the reasons of a round, which may be many, as a job."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.models import Job
from annotate.review.queries import reasons_in


def count(job: Job, tell: Tell) -> Outcome:
    assert job.round is not None, "reasons are given in a round"
    return Outcome("", reverse("round_notes", args=[job.round_id]), result={"reasons": reasons_in(job.round)})


LOOK = register(JobKind("count_reasons", "Counting reasons", count, is_look=True))
