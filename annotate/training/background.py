"""Launching Flow-DPO on the votes as they are now as a job: it freezes the pairs first."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.core.errors import RoundError
from annotate.models import Job, Run, Stage
from annotate.training.launches import launch_dpo
from annotate.training.preview import dry_run
from annotate.training.queries import pair_set
from rlhf.export.rule import ExportRule


def launch(job: Job, tell: Tell) -> Outcome:
    """With the values of the form that was sent, and `seen`, the digest of the preview."""
    assert job.round is not None, "a training is of a round"
    if (run := _launched_by(job)) is None:
        form = job.values["form"]
        include_simulated = form.get("include_simulated") == "on"
        rule = ExportRule(job.values["rule"])
        chosen = pair_set(job.round, None, include_simulated=include_simulated, rule=rule)
        run = launch_dpo(
            job.round,
            chosen,
            dry_run(job.round, chosen, form),
            seen=form.get("seen", ""),
            accepted=form.get("accepted") == "on",
            include_simulated=include_simulated,
            actor=job.asked_by,
            tell=lambda frozen: tell(frozen, len(chosen.samples)),
        )
    says = f"{run.export} holds {run.export.num_pairs} pairs; {run} is {run.status}." if run.export else ""
    return Outcome(says, reverse("run", args=[run.pk]), run)


def _launched_by(job: Job) -> Run | None:
    """What a worker had queued already that was killed before it could say so."""
    mine = Run.objects.filter(round=job.round, stage=Stage.DPO, launched_by=job.asked_by)
    return mine.filter(created_at__gt=job.created_at).first() if job.attempts > 1 else None


LAUNCH = register(JobKind("launch_dpo", "Launching Flow-DPO", launch, refusals=(RoundError, ValueError)))
