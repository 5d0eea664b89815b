"""A second person's word before a model is trained on people's faces and votes."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.jobs.runs import read_request
from annotate.jobs.stages import work_of
from annotate.models import Run, RunStatus, User
from annotate.privacy.consent import refuse_training


@transaction.atomic
def approve_run(run: Run, actor: User) -> None:
    """Queue a run that waits for approval; the caller then sends it with `tasks.send_run`.

    Raises:
        RoundError: the actor launched it, it does not wait any more, or people in it do not agree any more.
    """
    if run.launched_by_id == actor.pk:
        raise RoundError(f"{run} was launched by you; somebody else has to approve it")
    if run.export is not None:
        refuse_training(run.export)
    elif why := work_of(run.stage).refusal(run, read_request(run)):
        raise RoundError(why)
    approved = Run.objects.filter(pk=run.pk, status=RunStatus.WAITING).update(
        status=RunStatus.QUEUED, approved_by=actor, approved_at=Now(), queued_at=Now()
    )
    run.refresh_from_db()
    if not approved:
        raise RoundError(f"{run} is {run.status}; only a run that waits can be approved")
    record_event("approve_run", run, actor=actor)
