"""Starting an evaluation, whose request names every held-out input with its files, as a job."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.background.queries import run_queued_by
from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import evaluate_version
from annotate.models import Job, ModelVersion, Stage


def start(job: Job, tell: Tell) -> Outcome:
    version = ModelVersion.objects.get(pk=job.values["version"])
    run = run_queued_by(job, round=job.round, stage=Stage.EVALUATE) or evaluate_version(version, job.asked_by)
    return Outcome(f"{run} is {run.status}.", reverse("run", args=[run.pk]), run)


EVALUATE = register(JobKind("evaluate", "Starting an evaluation", start, refusals=(RoundError, ValueError)))
