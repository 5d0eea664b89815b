"""Looking at many instances, and launching SFT, which freezes them first, as jobs."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.jobs import forget
from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.background.queries import run_queued_by
from annotate.core.errors import RoundError
from annotate.models import Job, ModelVersion, Stage, TrainingSet
from annotate.supervised.preview import dry_run
from annotate.supervised.queries import Chosen, chosen_now, chosen_set
from annotate.supervised.sft import launch_sft
from annotate.training.launches import StalePreviewError


def look(job: Job, tell: Tell) -> Outcome:
    """At what a set would hold that is frozen now."""
    return Outcome("", reverse("sft"), result=_chosen(job).to_json())


def launch(job: Job, tell: Tell) -> Outcome:
    """With the values of the form that was sent, and `seen`, the digest of what was seen, if anything was."""
    policy = ModelVersion.objects.get(pk=job.values["policy"])
    if (run := run_queued_by(job, stage=Stage.SFT, policy=policy)) is None:
        chosen, seen = _chosen(job), job.values["seen"]
        try:
            run = launch_sft(
                policy,
                dry_run(policy, chosen, job.values["form"]),
                seen=chosen.digest if seen is None else seen,
                accepted=job.values["accepted"],
                source=job.values["source"],
                actor=job.asked_by,
                tell=lambda frozen: tell(frozen, chosen.facts.num_instances),
            )
        except StalePreviewError:
            forget(LOOK.name)
            raise
    return Outcome(f"{run} is {run.status}.", reverse("run", args=[run.pk]), run)


def _chosen(job: Job) -> Chosen:
    if (key := job.values.get("set")) is not None:
        return chosen_set(TrainingSet.objects.get(pk=key))
    return chosen_now(ModelVersion.objects.get(pk=job.values["policy"]), job.values["source"])


LOOK = register(JobKind("look_at_instances", "Looking at the instances", look, is_look=True))
LAUNCH = register(JobKind("launch_sft", "Launching SFT", launch, refusals=(RoundError, ValueError)))
