"""The next step of a round as a job: it may write a long request, settle pairs, or freeze them."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.background.queries import run_queued_by
from annotate.core.errors import RoundError
from annotate.loop.loop import advance_round
from annotate.models import Job


def advance(job: Job, tell: Tell) -> Outcome:
    assert job.round is not None, "a step is one of a round"
    page = reverse("round", args=[job.round_id])
    # A step that was taken already must not become two.
    if (run := run_queued_by(job, round=job.round)) is not None:
        return Outcome(f"{run} is {run.status}.", page, run)
    step = advance_round(
        job.round,
        include_simulated=job.values["include_simulated"],
        devices=job.values.get("devices"),
        actor=job.asked_by,
        tell=lambda frozen: tell(frozen, None),
    )
    return Outcome(f"{step.message[0].upper()}{step.message[1:]}.", page, step.run)


ADVANCE = register(JobKind("advance_round", "The next step", advance, refusals=(RoundError, ValueError)))
