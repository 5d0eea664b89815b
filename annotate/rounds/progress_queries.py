"""Reads for leads: how fast a round is judged, and what it tells of the next one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isnan
from statistics import median

from django.db.models import Count, Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from annotate.database import clock
from annotate.database.statements import first_row
from annotate.judging.vote_queries import disqualified_people, round_votes
from annotate.models import EntryLink, Judgment, PreferencePair, Round, Slot
from annotate.rounds.funnel_queries import Funnel, round_funnel
from annotate.tallies.queries import votes_of_days
from rlhf.records import JointState, Track
from rlhf.votes.vote import Estimate
from rlhf.votes.yield_plan import PilotPair

#: Votes are counted by day as far back as this.
DAYS = 30
#: The present pace is that of the last day, or of the time since the first vote.
PACE = timedelta(days=1)
#: The newest votes that a usual time is taken from.
RECENT = 500
#: More votes would tell a plan nothing new.
MAX_PILOT_VOTES = 6_000


# Whatever the part of a round's page shows that asks for itself again: counts, runs and exports. How long ago
# something was is told anew with the next of them.
_NEWS = """
SELECT md5(concat_ws('|', r.state, r.priority, r.may_be_chosen,
    (SELECT string_agg(name || amount, ',' ORDER BY name) FROM (
        SELECT name, sum(amount) AS amount FROM annotate_tally
        WHERE subject = 'round' AND subject_id = r.id AND annotator_id = 0 GROUP BY name
    ) counted),
    (SELECT string_agg(concat_ws(' ', u.id, u.status, u.started_at, u.ended_at,
        (SELECT max(line) FROM annotate_runmetric WHERE run_id = u.id),
        (SELECT sum(made) FROM annotate_shard WHERE run_id = u.id)), ',' ORDER BY u.id)
     FROM annotate_run u WHERE u.round_id = r.id),
    (SELECT string_agg(concat_ws(' ', e.id, e.withdrawn <> '', s.id), ',' ORDER BY e.id)
     FROM annotate_export e LEFT JOIN annotate_supersession s ON s.export_id = e.id WHERE e.round_id = r.id)))
FROM annotate_round r WHERE r.id = %s
"""


def news_of(round_id: int) -> str:
    """What changes with everything that a round's page tells of its progress, in one statement."""
    row = first_row(_NEWS, [round_id])
    return str(row[0]) if row else ""


def votes_by_day(round: Round) -> dict[Track, list[tuple[date, int]]]:
    """Votes of each of the last days, on both tracks the same days; none where there was none."""
    today = timezone.localdate()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    counts = votes_of_days(round, days[0])
    return {track: [(day, counts.get((str(track), day), 0)) for day in days] for track in Track}


@dataclass(frozen=True)
class Pace:
    """How fast a round is being judged, and what is left.

    `per_hour` are votes of the last day by the clock; `hours_left` are hours by the clock at that pace,
    `active_s_left` seconds of people's active time.
    """

    open_votes: int
    per_hour: Estimate
    hours_left: Estimate
    active_s_left: Estimate


def votes_per_dominant_pair(funnel: Funnel) -> float | None:
    """What an exported pair costs: all votes given so far over the dominant pairs."""
    return sum(funnel.judgments.values()) / funnel.dominant if funnel.dominant else None


def pace(round: Round, funnel: Funnel) -> Pace:
    judged = Slot.objects.filter(round=round, judged_at__isnull=False)
    open_votes, now = funnel.open_votes, clock.now()
    recent = judged.filter(judged_at__gte=now - PACE).count()
    began = judged.order_by("judged_at").values_list("judged_at", flat=True).first()
    per_hour = _per_hour(recent, began, now)
    if per_hour.value is None:
        hours_left = Estimate.undefined("nobody voted in the last 24 hours", 0)
    else:
        hours_left = _figure(open_votes / per_hour.value, recent)
    return Pace(open_votes, per_hour, hours_left, _active_s_left(round, open_votes))


def _per_hour(count: int, began: datetime | None, now: datetime) -> Estimate:
    if not count or began is None:
        return Estimate.undefined("nobody voted in the last 24 hours", 0)
    hours = min(PACE, max(now - began, timedelta(minutes=1))) / timedelta(hours=1)
    return _figure(count / hours, count)


def _active_s_left(round: Round, open_votes: int) -> Estimate:
    newest = Slot.objects.filter(round=round, judged_at__isnull=False).order_by("-judged_at")[:RECENT]
    timed = Judgment.objects.filter(slot__in=newest.values("pk"), evidence__has_key="active_ms")
    times = list(timed.values_list("evidence__active_ms", flat=True))
    if not times:
        return Estimate.undefined("no vote recorded how long it took", 0)
    return _figure(open_votes * median(times) / 1000, len(times))


def _figure(value: float, count: int) -> Estimate:
    return Estimate(value, None, None, count, "a count, without an interval")


def unfinished(round: Round) -> dict[str, int]:
    """What is under way in a round: votes that are wanted, pairs that people hold, links that lead to it."""
    held = Slot.objects.filter(round=round, judged_at=None, annotator__isnull=False)
    counts = held.aggregate(held=Count("id"), people=Count("annotator", distinct=True))
    links = EntryLink.objects.filter(judging__round=round, ended_at=None, closes_at__gt=Now())
    return {"open_votes": round_funnel(round).open_votes, **counts, "links": links.count()}


@dataclass(frozen=True)
class Pilot:
    """Finished pairs of the newest votes of a round; votes without a time count with the usual one."""

    pairs: list[PilotPair]
    untimed: int
    timed: int


def pilot_of(round: Round, *, is_simulated: bool) -> Pilot:
    open_slots = Slot.objects.filter(pair=OuterRef("pair"), judged_at=None)
    newest = Slot.objects.filter(round=round, judged_at__isnull=False).order_by("-judged_at")
    voted = set(newest.values_list("pair_id", flat=True)[:MAX_PILOT_VOTES])
    finished = (
        PreferencePair.objects.filter(pair__in=voted, is_simulated=is_simulated)
        .filter(pair__gold_verdicts__isnull=True)
        .exclude(Exists(open_slots))
        .order_by("-pair_id")
    )
    states = dict(finished.values_list("pair_id", "joint_state"))
    times: dict[int, list[float | None]] = {}
    lost = disqualified_people()
    for track in Track:
        votes = round_votes(round, track, is_simulated=is_simulated, pairs=states).without(lost)
        for pair, active_s in zip(votes.pair.tolist(), votes.active_s.tolist(), strict=True):
            times.setdefault(pair, []).append(None if isnan(active_s) else active_s)
    known = [time for given in times.values() for time in given if time is not None]
    usual = median(known) if known else 0.0
    pairs = [
        PilotPair(state == JointState.DOMINANT, tuple(usual if t is None else t for t in times[pair]))
        for pair, state in states.items()
        if pair in times
    ]
    return Pilot(pairs, untimed=sum(map(len, times.values())) - len(known), timed=len(known))
