"""What workers report becomes rows. Any report may come twice, late, or before one that was sent earlier."""

from __future__ import annotations

from django.db.models.functions import Now

from annotate.fleet.messages import Kind, Report
from annotate.jobs import runs, shards
from annotate.jobs.stages import work_of
from annotate.models import Run, RunStatus, Shard


def take(report: Report) -> bool:
    """Store what a report says; False where its worker has to stop, since the shard is not its own any more.

    What was made is stored whoever has the shard now: it is there, and nobody needs to make it again.
    """
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
    if report.kind == Kind.MADE and shards.cut_long(shard.pk):
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


def _store(report: Report, shard: Shard) -> None:
    sharding = work_of(shard.run.stage).sharding
    if sharding is None:
        return
    made = [report.sample_id] if report.kind == Kind.MADE else report.made
    if new := sum(sharding.store(shard.run, sample_id, "") for sample_id in made):
        shards.note_made(shard.pk, new, report.seconds)
    for item in report.failed:
        sharding.store(shard.run, str(item["sample_id"]), str(item["error"]))
