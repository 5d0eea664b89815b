"""Making an export again without somebody's votes as a job."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.models import Export, Job, Supersession, User
from annotate.quality.disqualification import QualityError, rebuild_export


def rebuild(job: Job, tell: Tell) -> Outcome:
    old = Export.objects.select_related("round").get(pk=job.values["export"])
    person = User.objects.get(pk=job.values["person"])
    made = _rebuilt_by(job, old)
    if made is None:
        made = rebuild_export(old, person, job.asked_by, tell=lambda frozen: tell(frozen, None))
    says = f"{made} holds {made.num_pairs} pairs and stands in the place of {old}."
    return Outcome(says, reverse("annotator", args=[person.pk]), result={"export": made.pk})


def _rebuilt_by(job: Job, old: Export) -> Export | None:
    """What a worker had made already that was killed before it could say so."""
    mine = Supersession.objects.filter(export=old, by=job.asked_by).select_related("by_export")
    found = mine.first() if job.attempts > 1 else None
    return found.by_export if found else None


REBUILD = register(JobKind("rebuild_export", "Making an export again", rebuild, refusals=(QualityError,)))
