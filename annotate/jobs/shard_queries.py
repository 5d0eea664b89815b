"""How far the shards of a run are, who works on them, and how long it will take."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now

from annotate.models import Run, Shard, ShardStatus

#: Shards that a page shows: those under way and in trouble before those that wait or are done.
MAX_SHOWN = 50


def shard_details(run: Run) -> dict[str, Any]:
    """What a run's page shows of its shards; nothing where it has none."""
    shards = Shard.objects.filter(run=run)
    counts = dict(shards.order_by().values_list("status").annotate(Count("id")))
    if not counts:
        return {}
    return {
        "is_at_its_end": counts.keys() == {ShardStatus.DONE},
        "shards": _shown(shards),
        "num_shards": sum(counts.values()),
        "shard_counts": [(label, counts[label]) for label in ShardStatus.values if label in counts],
        "shard_workers": _workers(shards),
        **_pace(shards),
    }


def _shown(shards: Any) -> list[Shard]:
    """Those under way first, then those that a worker had trouble with, then the others by number."""
    return list(
        shards.annotate(
            is_under_way=Q(status__in=[ShardStatus.RUNNING, ShardStatus.CANCELLING]),
            is_in_trouble=~Q(error=""),
            silent=Now() - F("heartbeat_at"),
        ).order_by("-is_under_way", "-is_in_trouble", "number")[:MAX_SHOWN]
    )


def _workers(shards: Any) -> list[dict[str, Any]]:
    """What each worker made, and how fast; a shard counts for the one that had it last."""
    rows = (
        shards.exclude(worker="")
        .order_by("worker")
        .values("worker", "device", "software")
        .annotate(
            num_shards=Count("id"),
            num_made=Sum("made"),
            spent=Sum("seconds"),
            busy=Count("id", filter=Q(status=ShardStatus.RUNNING)),
        )
    )
    return [{**row, "per_hour": _per_hour(row["num_made"], row["spent"])} for row in rows]


def _pace(shards: Any) -> dict[str, Any]:
    """Items per hour of all who work now, and the time left at that pace."""
    found = shards.aggregate(
        num_made=Sum("made"),
        spent=Sum("seconds"),
        wanted=Sum(
            F("stop") - F("start") - F("made"),
            filter=~Q(status__in=[ShardStatus.DONE, ShardStatus.FAILED, ShardStatus.CANCELLED]),
        ),
        busy=Count("id", filter=Q(status=ShardStatus.RUNNING)),
    )
    per_hour = (_per_hour(found["num_made"], found["spent"]) or 0) * found["busy"]
    left = 3600 * (found["wanted"] or 0) / per_hour if per_hour else None
    return {"items_per_hour": per_hour or None, "shards_left_s": left}


def _per_hour(made: int, seconds: float) -> float | None:
    return 3600 * made / seconds if made and seconds else None
