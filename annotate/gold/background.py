"""Making gold, which writes many videos, as a job."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.gold.gold import make_gold
from annotate.models import Job
from generator.media.formats import MediaError


def make(job: Job, tell: Tell) -> Outcome:
    assert job.round is not None, "gold is made for a round"
    new = make_gold(job.round, job.asked_by, tell=lambda made: tell(made, None))
    made = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in new.items() if count)
    return Outcome(f"New: {made}." if made else "Nothing was missing.", reverse("gold", args=[job.round_id]))


MAKE_GOLD = register(JobKind("make_gold", "Making gold", make, refusals=(MediaError,)))
