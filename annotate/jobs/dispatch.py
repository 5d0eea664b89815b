"""Which shards are sent to GPU workers next, and what they are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from annotate.fleet.messages import ShardMessage
from annotate.fleet.software import software_version
from annotate.jobs import runs, shards
from annotate.jobs.stages import work_of
from annotate.models import Shard


def hand_out(keys: Iterable[int]) -> Iterator[ShardMessage]:
    """Make queued shards ready, each with the message that has to be sent then.

    Whom a shard shows must agree to it at that moment, or the whole run is refused.
    """
    requests: dict[int, dict[str, Any]] = {}
    for key in keys:
        shard = shards.give_ticket(key)
        if shard is None:
            continue
        run = shard.run
        if run.pk not in requests:
            requests[run.pk] = runs.read_request(run)
        if why := refusal(shard, requests[run.pk]):
            runs.refuse_run(run, why)
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
