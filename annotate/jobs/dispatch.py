"""Which shards and runs are sent to GPU workers, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.db.models import QuerySet

from annotate.fleet.messages import Report, RunMessage, ShardMessage
from annotate.fleet.software import software_version
from annotate.jobs import runs, shards
from annotate.jobs.stages import work_of
from annotate.models import (
    DEFAULT_PRIORITY,
    LIVE_SHARDS,
    MAX_PRIORITY,
    RoundState,
    Run,
    RunStatus,
    Shard,
)


def hand_out(keys: Sequence[int]) -> Iterator[ShardMessage]:
    """Make queued shards ready, each with the message that has to be sent then.

    Whom a shard shows must agree to it at that moment, or the whole run is refused.
    """
    requests: dict[int, dict[str, Any]] = {}
    for key, run in shards.runs_of(keys):
        # First what may fail: a shard with a ticket counts as sent.
        if run.pk not in requests:
            requests[run.pk] = runs.read_request(run)
        shard = shards.give_ticket(key)
        if shard is None:
            continue
        if why := refusal(shard, requests[run.pk]):
            runs.refuse_run(shard.run, why)
            continue
        yield message_of(shard)


def refusal(shard: Shard, request: dict[str, Any]) -> str:
    sharding = work_of(shard.run.stage).sharding
    return sharding.refusal(shard.run, request, shard.start, shard.stop) if sharding else ""


def message_of(shard: Shard) -> ShardMessage:
    return ShardMessage(
        shard=shard.pk,
        number=shard.number,
        ticket=str(shard.ticket),
        folder=shard.run.folder,
        start=shard.start,
        stop=shard.stop,
        parts=parts_of(shard.run),
        software=software_version(),
    )


def parts_of(run: Run) -> str:
    sharding = work_of(run.stage).sharding
    assert sharding is not None, "a run with shards has been cut"
    return sharding.parts


def waiting_runs() -> list[Run]:
    """Whole runs that are queued, each of which should have a message with the broker."""
    return list(_waiting())


def run_to_end(report: Report) -> Run | None:
    """The run whose last shard has ended with a report, where its command has to make the result."""
    return _waiting().filter(shards=report.shard).first() if report.shard else None


def _waiting() -> QuerySet[Run]:
    queued = Run.objects.filter(status=RunStatus.QUEUED).exclude(round__state=RoundState.PAUSED)
    return queued.exclude(shards__status__in=[*LIVE_SHARDS])


def whole_run(run_id: int) -> RunMessage | None:
    """The message for a queued run, none of whose shards is left; None where it has none to be sent now.

    Whom it shows must agree to it, now and when a worker takes it, or it is refused.
    """
    run = Run.objects.select_related("round").filter(pk=run_id, status=RunStatus.QUEUED).first()
    if run is None or runs.is_paused(run.pk) or shards.are_live(run):
        return None
    if why := refusal_of_run(run):
        runs.refuse_run(run, why)
        return None
    return RunMessage(
        run=run.pk,
        ticket=str(uuid4()),
        folder=run.folder,
        command=work_of(run.stage).command,
        devices=run.devices,
        software=software_version(),
    )


def urgency(run_id: int) -> int:
    """Of a whole run's message, by its round: 0 before 9, as Redis has it."""
    priority = Run.objects.values_list("round__priority", flat=True).get(pk=run_id)
    return MAX_PRIORITY - (DEFAULT_PRIORITY if priority is None else priority)


def refusal_of_run(run: Run) -> str:
    return work_of(run.stage).refusal(run, runs.read_request(run))
