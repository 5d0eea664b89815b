"""What workers report becomes rows. Any report may come twice, late, or before one that was sent earlier."""

from __future__ import annotations

from uuid import UUID

from django.db.models.functions import Now

from annotate.fleet.messages import Kind, Report
from annotate.jobs import dispatch, run_workers, runs, shards
from annotate.jobs.stages import work_of
from annotate.models import Run, RunStatus, Shard
from generator.rundir import RunError


def take(report: Report) -> bool:
    """Store what a report says; False where its worker has to stop, since the work is not its own now."""
    if report.kind == Kind.HERE:
        run_workers.announce(report.worker, report.devices, report.device)
        return True
    return _take_of_run(report) if report.run else _take_of_shard(report)


def _take_of_shard(report: Report) -> bool:
    """What was made is stored whoever has the shard now: it is there, and nobody needs to make it again."""
    if report.kind == Kind.HELLO:
        for run_id in shards.requeue_of(report.worker, report.claim):
            runs.conclude_run(run_id)
        return True
    shard = Shard.objects.select_related("run__round").filter(pk=report.shard).first()
    if shard is None:
        return False
    # Two reports at once may both begin it: one of them has, and then the other one renews it.
    may_go_on = shards.renew(report) or _begin(report, shard.run) or shards.renew(report)
    _store(report, shard)
    if report.kind == Kind.MADE and shards.cut_long(shard.pk, lambda: _ends(shard.run)):
        return False
    if report.kind in _ENDS and _ENDS[report.kind](report):
        runs.conclude_run(shard.run_id)
    return may_go_on


_ENDS = {Kind.ENDED: shards.end, Kind.BACK: shards.hand_back, Kind.FAILED: shards.fail}


def _begin(report: Report, run: Run) -> bool:
    if not shards.begin(report):
        return False
    Run.objects.filter(pk=run.pk, status=RunStatus.QUEUED).update(status=RunStatus.RUNNING, started_at=Now())
    return True


def _ends(run: Run) -> list[int]:
    sharding = work_of(run.stage).sharding
    assert sharding is not None, "a run with shards has been cut"
    return sharding.ends(run, runs.read_request(run))


def _store(report: Report, shard: Shard) -> None:
    sharding = work_of(shard.run.stage).sharding
    if sharding is None:
        return
    if report.kind == Kind.MADE:
        is_there = not sharding.is_stored_at_once or sharding.store(shard.run, [report.item])
        if is_there:
            shards.note_made(shard.pk, report.done, report.seconds)
    elif report.made:
        shards.note_made(shard.pk, sharding.store(shard.run, report.made), report.seconds)
    for failure in report.failed:
        sharding.store_failure(shard.run, failure)


def _take_of_run(report: Report) -> bool:
    """Any report begins a run that nobody had; one whose worker was lost is begun by who says so."""
    run = Run.objects.select_related("round__policy", "policy").filter(pk=report.run).first()
    if run is None:
        return False
    worker = UUID(report.claim)
    status = runs.renew_run(run, worker)
    may_begin = run.worker is None or report.kind in (Kind.BEGUN, Kind.ENDED)
    if status is None and may_begin and runs.claim_run(run.pk, worker, f"{report.worker}, {report.device}"):
        if why := dispatch.refusal_of_run(run):
            runs.end_run(run, worker, RunStatus.FAILED, why)
            return False
        status = RunStatus.RUNNING
    if status is None:
        return False
    if report.lines > run.metrics.count():
        runs.follow_run(run)
    if report.kind in (Kind.ENDED, Kind.BACK, Kind.FAILED):
        _end_run(report, run, worker, is_cancelled=status is RunStatus.CANCELLING)
    return status is RunStatus.RUNNING and not runs.is_paused(run.pk)


def _end_run(report: Report, run: Run, worker: UUID, *, is_cancelled: bool) -> None:
    if report.kind == Kind.ENDED:
        try:
            if runs.finish_run(run, worker):
                work_of(run.stage).next_run(run)
        except RunError as error:
            runs.end_run(run, worker, RunStatus.FAILED, str(error))
    elif is_cancelled:
        runs.end_run(run, worker, RunStatus.CANCELLED)
    elif report.kind == Kind.FAILED:
        runs.end_run(run, worker, RunStatus.FAILED, report.error or f"{report.worker} failed without a word")
    else:
        runs.hand_back(run, worker, report.error)
