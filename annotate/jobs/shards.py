"""Shards: parts of a run, each of one worker at a time. The row decides, whatever comes late or twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Case, Count, F, Max, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Greatest, Least, Now

from annotate.fleet.messages import Report
from annotate.jobs import run_workers
from annotate.models import (
    DEFAULT_PRIORITY,
    LIVE_SHARDS,
    MAX_ATTEMPTS,
    RoundState,
    Run,
    RunStatus,
    Shard,
    ShardStatus,
)

#: A shard whose worker said nothing for this long has lost it.
LOST_AFTER = timedelta(seconds=60)
#: A message that nobody took for this long may be lost.
UNCLAIMED_AFTER = timedelta(seconds=60)
#: Messages that may wait with the broker, however few workers there are.
FEWEST_WAITING = 8
#: Items by which a shard's own speed is known.
MADE_BEFORE_CUT = 2
#: How long a shard should take.
SHARD_S = 300.0
#: By so many shards the speed of a model is known.
NEWEST_SHARDS = 50

_UNDER_WAY = (ShardStatus.RUNNING, ShardStatus.CANCELLING)
# Runs of equal priority take turns: each is as far ahead as it has shards out already.
_NEXT = """
SELECT s.id FROM (
    SELECT id, run_id, row_number() OVER (PARTITION BY run_id ORDER BY number) AS place
    FROM annotate_shard WHERE status = 'queued'
) s
JOIN annotate_run run ON run.id = s.run_id AND run.status IN ('queued', 'running')
LEFT JOIN annotate_round round ON round.id = run.round_id
LEFT JOIN (
    SELECT run_id, count(*) AS number FROM annotate_shard WHERE status IN ('sent', 'running') GROUP BY run_id
) out ON out.run_id = s.run_id
WHERE round.state IS DISTINCT FROM 'paused'
ORDER BY coalesce(round.priority, %s) DESC, s.place + coalesce(out.number, 0), s.run_id
LIMIT %s
"""


def split_run(run: Run, ends: Sequence[int], seconds: float | None) -> None:
    """Cut what a run asks for into shards of about five minutes, or shorter, so that each device has one.

    Args:
        run: a new one.
        ends: places after which it may be cut, the last of which is its end.
        seconds: that one of its items takes; None where nothing is known.
    """
    devices = run_workers.present().aggregate(devices=Sum("devices"))["devices"] or 1
    share = (ends[-1] if ends else 0) / devices
    _add(run, _cut(0, ends, min(SHARD_S / seconds, share) if seconds else share))


def _cut(start: int, ends: Sequence[int], size: float) -> list[tuple[int, int]]:
    """From `start` on, each part as near to `size` as can be."""
    parts = []
    for end, following in zip_longest(ends, ends[1:]):
        if end > start and (following is None or end + following - 2 * start > 2 * size):
            parts.append((start, end))
            start = end
    return parts


def _add(run: Run, parts: Sequence[tuple[int, int]]) -> None:
    last = Shard.objects.filter(run=run).aggregate(last=Max("number"))["last"] or 0
    Shard.objects.bulk_create(
        Shard(run=run, number=number, start=start, stop=stop)
        for number, (start, stop) in enumerate(parts, start=last + 1)
    )


@transaction.atomic
def cut_long(key: int, ends: Callable[[], Sequence[int]]) -> bool:
    """Cut a shard that turns out to take far too long, as one of unknown speed may, so that others can help.

    True where its worker has to stop: what is left of it is given out anew.
    """
    shard = Shard.objects.select_for_update().filter(pk=key, status=ShardStatus.RUNNING).first()
    if shard is None or shard.made < MADE_BEFORE_CUT or not shard.seconds:
        return False
    size, made = SHARD_S * shard.made / shard.seconds, shard.start + shard.made
    if shard.stop - made <= 2 * size:
        return False
    mine = [end for end in ends() if made <= end <= shard.stop]
    parts = _cut(mine[0], mine, size) if mine else []
    if len(parts) < 2:
        return False
    (_, stop), *others = parts
    _add(shard.run, others)
    Shard.objects.filter(pk=key).update(
        stop=stop, status=ShardStatus.QUEUED, ticket=None, attempts=0, error=""
    )
    return True


def next_shards(most: int) -> list[int]:
    """Whose turn it is: the first of the rounds of highest priority, in turns."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [DEFAULT_PRIORITY, most])
        return [key for (key,) in cursor.fetchall()]


def runs_of(keys: Sequence[int]) -> list[tuple[int, Run]]:
    """Shards, in the order given, each with its run."""
    found = Shard.objects.select_related("run").in_bulk(keys)
    return [(key, found[key].run) for key in keys if key in found]


def give_ticket(key: int) -> Shard | None:
    """Make a queued shard ready to be sent; None where somebody else did."""
    ticket = uuid4()
    sent = Shard.objects.filter(pk=key, status=ShardStatus.QUEUED)
    if not sent.update(status=ShardStatus.SENT, ticket=ticket, claim=None, sent_at=Now()):
        return None
    return Shard.objects.select_related("run__round").filter(pk=key, ticket=ticket).first()


def renew(report: Report) -> bool:
    """Note that the worker of a shard is alive; False where the shard is not this attempt's any more."""
    return bool(_may_go_on(report).filter(status=ShardStatus.RUNNING).update(heartbeat_at=Now()))


def begin(report: Report) -> bool:
    """Take a shard for an attempt that speaks for the first time; False where somebody else has it."""
    waiting = _may_go_on(report, claim=None).filter(status=ShardStatus.SENT)
    return bool(
        waiting.update(
            status=ShardStatus.RUNNING,
            claim=report.claim,
            worker=report.worker,
            device=report.device,
            software=report.software,
            attempts=F("attempts") + 1,
            started_at=Now(),
            heartbeat_at=Now(),
        )
    )


def _may_go_on(report: Report, **values: object) -> QuerySet[Shard]:
    mine = {"pk": report.shard, "ticket": report.ticket, "claim": report.claim, **values}
    runs = Run.objects.filter(status__in=[RunStatus.QUEUED, RunStatus.RUNNING])
    return Shard.objects.filter(run__in=runs.exclude(round__state=RoundState.PAUSED), **mine)


def note_made(key: int, made: int, seconds: float) -> None:
    """Note how much is made, unless more is. Whoever makes something has not failed: attempts begin anew."""
    Shard.objects.filter(pk=key, made__lt=made).update(
        made=Least(Value(made), F("stop") - F("start")),
        # Also for those whose own reports come later than this one.
        seconds=F("seconds") + seconds * (made - F("made")),
        attempts=Least(F("attempts"), Value(1)),
    )


def _mine(report: Report) -> QuerySet[Shard]:
    """The shard while it is this attempt's, even if it is to be stopped."""
    return Shard.objects.filter(
        pk=report.shard, ticket=report.ticket, claim=report.claim, status__in=_UNDER_WAY
    )


def end(report: Report) -> bool:
    facts = {**report.facts, **({"failed": report.failed} if report.failed else {})}
    return bool(_mine(report).update(status=ShardStatus.DONE, error="", facts=facts, ended_at=Now()))


def hand_back(report: Report) -> bool:
    """Queue a shard that its worker could not or should not finish, which is no attempt."""
    return _queue_again(_mine(report), report.error, is_attempt=False)


def fail(report: Report) -> bool:
    """Queue a shard for another attempt; after the last one it has failed."""
    return _queue_again(_mine(report), report.error or f"{report.worker} failed without a word")


def requeue_of(worker: str, claim: str) -> list[int]:
    """Queue what an earlier process of this name had begun; the runs that may have come to their end."""
    left = Shard.objects.filter(worker=worker, status__in=_UNDER_WAY).exclude(claim=claim)
    found = list(left.values_list("pk", "run_id"))
    _queue_again(left.filter(pk__in=[key for key, _ in found]), f"its worker {worker} ended without a word")
    return sorted({run for _, run in found})


def requeue_lost(messages: int) -> None:
    """Queue what lost its worker or its message.

    Args:
        messages: shards that wait with the broker. Where these are as many as were sent, none is lost.
    """
    sent = Shard.objects.filter(status=ShardStatus.SENT)
    if messages < sent.count():
        sent.filter(sent_at__lt=Now() - UNCLAIMED_AFTER).update(status=ShardStatus.QUEUED, ticket=None)
    lost = Shard.objects.filter(status__in=_UNDER_WAY, heartbeat_at__lt=Now() - LOST_AFTER)
    _queue_again(lost, "its worker was lost, most often because the machine or its network ended")


def _queue_again(rows: QuerySet[Shard], error: str, *, is_attempt: bool = True) -> bool:
    ends = [When(status=ShardStatus.CANCELLING, then=Value(ShardStatus.CANCELLED))]
    if is_attempt:
        ends.append(When(attempts__gte=MAX_ATTEMPTS, then=Value(ShardStatus.FAILED)))
    before = Greatest(F("attempts"), Value(1)) - 1
    return bool(
        rows.update(
            status=Case(*ends, default=Value(ShardStatus.QUEUED)),
            ended_at=Case(*(When(end.condition, then=Now()) for end in ends), default=None),
            attempts=F("attempts") if is_attempt else before,
            ticket=None,
            error=error[:4000],
        )
    )


def cancel(run: Run) -> None:
    """End what nobody works on; the workers of the rest hear it when they say next that they live."""
    live = Shard.objects.filter(run=run)
    waiting = [ShardStatus.QUEUED, ShardStatus.SENT]
    live.filter(status__in=waiting).update(status=ShardStatus.CANCELLED, ended_at=Now())
    live.filter(status=ShardStatus.RUNNING).update(status=ShardStatus.CANCELLING)


def retry(run: Run) -> None:
    """Queue the shards of a run that did not come to a good end, or could not make all of their items."""
    ended = Shard.objects.filter(run=run).exclude(status__in=[*LIVE_SHARDS])
    ended = ended.exclude(status=ShardStatus.DONE, made__gte=F("stop") - F("start"))
    ended.update(status=ShardStatus.QUEUED, ticket=None, attempts=0, error="", ended_at=None)


def are_live(run: Run) -> bool:
    return Shard.objects.filter(run=run, status__in=[*LIVE_SHARDS]).exists()


def failures(run: Run) -> list[dict[str, Any]]:
    """What those that are done could not make."""
    facts = Shard.objects.filter(run=run).order_by("number").values_list("facts", flat=True)
    return [failure for one in facts for failure in one.get("failed", [])]


def seconds_per_item(like: QuerySet[Shard]) -> float | None:
    """What the newest of such shards took; None where none of them has made anything."""
    newest = like.filter(made__gt=0).order_by("-id").values_list("seconds", "made")[:NEWEST_SHARDS]
    made = sum(made for _, made in newest)
    return sum(seconds for seconds, _ in newest) / made if made else None


def how_they_ended(run: Run) -> tuple[str, bool]:
    """Why the first that failed did, empty where none did; and whether one was cancelled."""
    ended = Shard.objects.filter(run=run)
    failed = ended.filter(status=ShardStatus.FAILED).order_by("number")
    first = failed.first()
    more = f" (and {failed.count() - 1} more)" if failed.count() > 1 else ""
    error = f"shard {first.number}: {first.error}{more}" if first else ""
    return error, ended.filter(status=ShardStatus.CANCELLED).exists()


def room_with_the_broker() -> int:
    """How many more messages to send: few wait there, so that the row's order counts and not the broker's."""
    found = Shard.objects.filter(status__in=[*LIVE_SHARDS]).aggregate(
        sent=Count("pk", filter=Q(status=ShardStatus.SENT)),
        running=Count("pk", filter=Q(status=ShardStatus.RUNNING)),
    )
    return int(max(FEWEST_WAITING, found["running"]) - found["sent"])
