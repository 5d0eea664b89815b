"""Looking at many pairs, and launching Flow-DPO, which freezes them first, as jobs."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.jobs import forget
from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.background.queries import run_queued_by
from annotate.core.errors import RoundError
from annotate.models import Export, Job, Stage
from annotate.training.launches import StalePreviewError, launch_dpo
from annotate.training.preview import dry_run
from annotate.training.queries import Looked, PairSet, pair_set
from rlhf.export.rule import ExportRule


def look(job: Job, tell: Tell) -> Outcome:
    """At the pairs of an export, or at those that one by a rule would hold now."""
    assert job.round is not None, "pairs are of a round"
    looked = Looked.at(job.round, _chosen(job))
    return Outcome("", reverse("launch", args=[job.round_id]), result=looked.to_json())


def launch(job: Job, tell: Tell) -> Outcome:
    """With the values of the form that was sent, and `seen`, the digest of the preview."""
    assert job.round is not None, "a training is of a round"
    if (run := run_queued_by(job, round=job.round, stage=Stage.DPO)) is None:
        form, chosen = job.values["form"], _chosen(job)
        try:
            run = launch_dpo(
                job.round,
                chosen,
                dry_run(job.round, Looked.at(job.round, chosen), form),
                seen=form.get("seen", ""),
                accepted=form.get("accepted") == "on",
                include_simulated=job.values["include_simulated"],
                actor=job.asked_by,
                tell=lambda frozen: tell(frozen, len(chosen.samples)),
            )
        except StalePreviewError:
            forget(LOOK.name, job.round)
            raise
    says = f"{run.export} holds {run.export.num_pairs} pairs; {run} is {run.status}." if run.export else ""
    return Outcome(says, reverse("run", args=[run.pk]), run)


def _chosen(job: Job) -> PairSet:
    assert job.round is not None, "pairs are of a round"
    values = job.values
    export = Export.objects.get(pk=values["export"]) if values["export"] else None
    return pair_set(
        job.round,
        export,
        include_simulated=values["include_simulated"],
        rule=ExportRule(values["rule"]),
    )


LOOK = register(JobKind("look_at_pairs", "Looking at the pairs", look, is_look=True))
LAUNCH = register(JobKind("launch_dpo", "Launching Flow-DPO", launch, refusals=(RoundError, ValueError)))
