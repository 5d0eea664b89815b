"""Which shards are sent to GPU workers next, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from annotate.fleet.messages import ShardMessage
from annotate.fleet.software import software_version
from annotate.jobs import runs, shards
from annotate.jobs.stages import work_of
from annotate.models import Shard


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
        software=software_version(),
    )
