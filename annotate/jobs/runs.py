"""Runs: queued by a lead, claimed by one worker, followed while they work, ended once.

A run's folder survives whatever kills its worker. A run that nobody renews is queued again and goes on
in the same folder, so no result is made twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Exists, F, Max, OuterRef, QuerySet, Value, When
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.database.locks import take_queue
from annotate.jobs import shards
from annotate.jobs.queue import Queue
from annotate.jobs.run_folders import (
    keep_new_folder,
    store_result,
    store_unmade,
    stored_metrics,
    stored_records,
)
from annotate.jobs.stages import work_of
from annotate.models import (
    LIVE,
    LIVE_SHARDS,
    Round,
    RoundState,
    Run,
    RunMetric,
    RunStatus,
    Shard,
    Stage,
    User,
)
from annotate.storage.opening import site_storage
from generator.rundir import RunDir

#: A running job that was not renewed for this long has lost its worker.
LOST_AFTER = timedelta(seconds=60)
#: A queued job that nobody took for this long has lost its message.
UNCLAIMED_AFTER = timedelta(seconds=60)


def run_dir(run: Run) -> RunDir:
    """A run's folder; with a bucket there is none here, but paths of a request are told from its place."""
    return RunDir(settings.STORAGE_ROOT / run.folder)


def read_request(run: Run) -> dict[str, Any]:
    """
    Raises:
        RunError: there is no request, or it is no JSON object.
    """
    with stored_records(run.folder) as folder:
        return folder.read_request()


@transaction.atomic
def queue_run(round: Round | None, stage: str, request: Any, *, actor: User | None, **links: Any) -> Run:
    """One live run per stage of a round: asking again returns the run that is under way.

    Raises:
        KeyError: no room has this stage.
    """
    work_of(stage)
    take_queue(round.pk if round else 0)
    live = under_way(round.pk if round else None, stage)
    if live is not None:
        return live
    runs = Run.objects.filter(round=round, stage=stage)
    place = f"runs/round-{round.pk}" if round else "runs/people"
    ordinal = _free_ordinal((runs.aggregate(last=Max("ordinal"))["last"] or 0) + 1, f"{place}/{stage}")
    run = Run(
        round=round,
        stage=stage,
        ordinal=ordinal,
        folder=f"{place}/{stage}-{ordinal}",
        launched_by=actor,
        **links,
    )
    folder = run_dir(run)
    asked = {"stage": str(stage), **request(folder)}
    folder.create(asked)
    keep_new_folder(folder, run.folder)
    run.save()
    if sharding := work_of(stage).sharding:
        shards.split_run(run, sharding.ends(run, asked), sharding.seconds(run))
    record_event("queue_run", run, actor=actor, stage=str(stage))
    return run


def under_way(round_id: int | None, stage: str) -> Run | None:
    """The run that another one of its stage would have to wait for; what has no round is not one work."""
    if round_id is None and stage != Stage.PROMPTS:
        return None
    return Run.objects.filter(round=round_id, stage=stage, status__in=[*LIVE]).first()


def _free_ordinal(ordinal: int, prefix: str) -> int:
    """The first whose folder is free: one that was made for a row that never came is left alone."""
    storage = site_storage()
    while next(storage.list(f"{prefix}-{ordinal}", with_partial=True), None) is not None:
        ordinal += 1
    return ordinal


def claim_run(run_id: int, worker: UUID, machine: str = "") -> Run | None:
    """Take a queued run for this worker.

    None when somebody else has it, or it has ended, is paused, or is worked on in shards.
    """
    mine = Shard.objects.filter(run=run_id)
    if is_paused(run_id) or mine.filter(status__in=[*LIVE_SHARDS]).exists():
        return None
    began = {} if mine.exists() else {"started_at": Now()}
    taken = QUEUE.claim(run_id, worker, error="", machine=machine[:255], **began)
    return Run.objects.select_related("round__policy", "policy").get(pk=run_id) if taken else None


def is_paused(run_id: int) -> bool:
    return Run.objects.filter(pk=run_id, round__state=RoundState.PAUSED).exists()


def renew_run(run: Run, worker: UUID) -> RunStatus | None:
    """Say that the worker is alive; returns the run's status, or None when it is no longer the worker's.

    A run that was taken for lost, because nothing was heard for longer than that takes, is still its own
    until another worker has begun it.
    """
    mine = [RunStatus.RUNNING, RunStatus.CANCELLING, RunStatus.QUEUED]
    if not Run.objects.filter(pk=run.pk, worker=worker, status__in=mine).update(
        heartbeat_at=Now(),
        status=Case(When(status=RunStatus.QUEUED, then=Value(RunStatus.RUNNING)), default=F("status")),
    ):
        return None
    return RunStatus(Run.objects.values_list("status", flat=True).get(pk=run.pk))


def follow_run(run: Run) -> int:
    """Bring new metric lines, and what they announce, into the database.

    Safe to repeat. Returns how many lines are stored.
    """
    stored = run.metrics.count()
    lines = stored_metrics(run.folder, stored)
    RunMetric.objects.bulk_create(
        [RunMetric(run=run, line=stored + number, values=values) for number, values in enumerate(lines)],
        ignore_conflicts=True,
    )
    work_of(run.stage).follow(run, lines)
    return stored + len(lines)


@transaction.atomic
def finish_run(run: Run, worker: UUID) -> bool:
    """Store the result of a complete folder; False when the run was not this worker's any more.

    Raises:
        RunError: there is no result.
    """
    with stored_records(run.folder) as folder:
        result = folder.read_result()
    follow_run(run)
    done = Run.objects.filter(pk=run.pk, worker=worker, status__in=[RunStatus.RUNNING, RunStatus.CANCELLING])
    if not done.update(status=RunStatus.DONE, result=result, ended_at=Now()):
        return False
    work_of(run.stage).finish(run, result)
    record_event("finish_run", run)
    return True


def end_run(run: Run, worker: UUID, status: RunStatus, error: str = "") -> bool:
    """Mark a run failed or cancelled; False when it was not this worker's any more."""
    ended = Run.objects.filter(pk=run.pk, worker=worker, status__in=[*LIVE]).update(
        status=status, error=error[:4000], ended_at=Now()
    )
    if ended:
        # Not the error: it may name a person's file, and the chain forgets nothing.
        record_event(f"{status}_run", run)
    return bool(ended)


def hand_back(run: Run, worker: UUID, why: str) -> None:
    """Queue a run that its worker could not or should not finish, which is no attempt."""
    QUEUE.mine(run.pk, worker).update(error=why[:4000])
    QUEUE.let_go(run.pk, worker)


@transaction.atomic
def conclude_run(run_id: int) -> None:
    """End a run of shards, none of which is under way any more, or hand it to its command."""
    run = Run.objects.select_for_update(of=["self"]).select_related("round").get(pk=run_id)
    sharding = work_of(run.stage).sharding
    if sharding is None or run.status not in LIVE or run.worker or shards.are_live(run):
        return
    failed, is_cancelled = shards.how_they_ended(run)
    is_cancelled = is_cancelled or (run.status == RunStatus.CANCELLING and sharding.result is None)
    if failed or is_cancelled:
        status = RunStatus.CANCELLED if is_cancelled else RunStatus.FAILED
        Run.objects.filter(pk=run.pk).update(status=status, error=failed[:4000], ended_at=Now())
        record_event(f"{status}_run", run)
    elif sharding.result is not None:
        _store_end(run, sharding.result(run, read_request(run)))
    elif run.status == RunStatus.RUNNING:
        store_unmade(run.folder, shards.failures(run))
        Run.objects.filter(pk=run.pk).update(status=RunStatus.QUEUED, queued_at=Now() - 2 * UNCLAIMED_AFTER)


def _store_end(run: Run, result: dict[str, Any]) -> None:
    store_result(run.folder, result)
    Run.objects.filter(pk=run.pk).update(status=RunStatus.DONE, result=result, ended_at=Now())
    work_of(run.stage).finish(run, result)
    record_event("finish_run", run)
    work_of(run.stage).next_run(run)


def unconcluded_runs() -> list[int]:
    """Runs whose last shard has ended but whose own end was lost: a process died, or the storage failed."""
    live = Run.objects.filter(status__in=[*LIVE], shards__isnull=False)
    under_way = Shard.objects.filter(run=OuterRef("pk"), status__in=[*LIVE_SHARDS])
    return sorted(set(live.filter(~Exists(under_way)).values_list("pk", flat=True)))


def refuse_run(run: Run, why: str) -> None:
    """End a run as failed, whatever of it is under way."""
    if Run.objects.filter(pk=run.pk, status__in=[*LIVE]).update(
        status=RunStatus.FAILED, error=why[:4000], ended_at=Now()
    ):
        shards.cancel(run)
        record_event("failed_run", run)


def cancel_run(run: Run, actor: User | None = None) -> bool:
    """Ask a live run to stop; one that did not start ends at once. False when it had ended already."""
    live = Run.objects.filter(pk=run.pk)
    resting = live.filter(status__in=[RunStatus.WAITING, RunStatus.QUEUED])
    stopped = resting.update(status=RunStatus.CANCELLED, ended_at=Now())
    stopped = stopped or live.filter(status=RunStatus.RUNNING).update(status=RunStatus.CANCELLING)
    if stopped:
        shards.cancel(run)
        conclude_run(run.pk)
        record_event("cancel_run", run, actor=actor)
    return bool(stopped)


@transaction.atomic
def retry_run(run: Run, actor: User | None = None) -> bool:
    """Queue a failed or cancelled run again, in the same folder: it goes on where it stopped.

    It may lose its worker as often as a new one.

    What was cancelled before anybody approved it waits for approval again. False when it has not ended, or
    when another run of its stage is under way.
    """
    if under_way(run.round_id, run.stage) is not None:
        return False
    ended = Run.objects.filter(pk=run.pk, status__in=[RunStatus.FAILED, RunStatus.CANCELLED])
    unapproved = When(needs_approval=True, approved_by=None, then=Value(RunStatus.WAITING))
    queued = ended.update(
        status=Case(unapproved, default=Value(RunStatus.QUEUED)),
        queued_at=Now(),
        worker=None,
        heartbeat_at=None,
        attempts=0,
        ended_at=None,
        error="",
    )
    if queued:
        shards.retry(run)
        record_event("retry_run", run, actor=actor)
    return bool(queued)


def requeue_lost_runs() -> list[int]:
    """Queue what lost its worker or its message; returns the runs to send out again.

    What has lost its worker `MAX_ATTEMPTS` times ends as failed.
    """
    lost = Run.objects.filter(heartbeat_at__lt=Now() - LOST_AFTER)
    lost.filter(status=RunStatus.CANCELLING).update(status=RunStatus.CANCELLED, ended_at=Now())
    return QUEUE.requeue_lost()


def _give_up(runs: QuerySet[Run]) -> None:
    for run in runs:
        error = (
            f"its worker was lost {run.attempts} times, most often because the machine's memory ran out; "
            "look at the worker's log, then try again"
        )
        with transaction.atomic():
            same = Run.objects.filter(pk=run.pk, worker=run.worker, status=RunStatus.RUNNING)
            if same.update(status=RunStatus.FAILED, error=error, ended_at=Now()):
                record_event("failed_run", run, error=error)


QUEUE = Queue(
    Run,
    waiting=RunStatus.QUEUED,
    running=RunStatus.RUNNING,
    lost_after=LOST_AFTER,
    unclaimed_after=UNCLAIMED_AFTER,
    give_up=_give_up,
)
