"""Votes as the statistics read them, and what the statistics found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from math import nan
from typing import Any, NamedTuple

import numpy as np
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Extract, Now

from annotate.database.column_queries import read_columns
from annotate.judging.queries import disqualified, latest_judgments
from annotate.models import (
    Adjudication,
    Consensus,
    Disqualification,
    Exposure,
    GoldKind,
    GoldPair,
    Judgment,
    PreferencePair,
    Round,
    Side,
    Slot,
    Subject,
    Use,
    User,
    VideoPair,
    VoteFit,
)
from annotate.privacy.consent_queries import given
from annotate.tallies.queries import counts_of
from rlhf.records import Track, Verdict
from rlhf.votes.columns import CODE, NO_GOLD, VoteColumns
from rlhf.votes.model import VoteModel
from rlhf.votes.stopping import Stop
from rlhf.votes.vote import Vote


class FitMade(NamedTuple):
    """Of which votes a fit was made, and how long ago."""

    inputs_hash: str
    num_votes: int
    age: timedelta


def vote_of(judgment: Judgment, pair_id: int) -> Vote:
    """A vote on a pair that is no gold, as `rlhf` reads it; its slot must be at hand."""
    slot = judgment.slot
    assert slot.annotator_id is not None, "a judged slot has its person"
    return Vote(pair_id, Track(slot.track), slot.annotator_id, Verdict(judgment.verdict), slot.first_on_left)


def counting_votes(round: Round, track: Track, *, is_simulated: bool) -> VoteColumns:
    """The votes of a round's track that count, of people or of simulated annotators, in order."""
    judgments = Judgment.objects.filter(slot__round=round, slot__track=track, is_simulated=is_simulated)
    return _columns(judgments.filter(~disqualified("slot__annotator")), track)


def votes_behind(pairs: QuerySet[PreferencePair], track: Track) -> VoteColumns:
    """The votes of a track on these pairs that count, of people and of simulated annotators, in order."""
    judgments = Judgment.objects.filter(slot__pair__preference__in=pairs.order_by().values("pk"))
    return _columns(judgments.filter(~disqualified("slot__annotator"), slot__track=track), track)


def num_votes_behind(pairs: QuerySet[PreferencePair], *, is_simulated: bool) -> int:
    """Of both tracks, how many of them are of people, or of simulated annotators."""
    judgments = Judgment.objects.filter(slot__pair__preference__in=pairs.order_by().values("pk"))
    counting = judgments.filter(~disqualified("slot__annotator"), is_simulated=is_simulated)
    return int(counting.aggregate(number=Count("slot", distinct=True))["number"])


def has_votes(round: Round, *, is_simulated: bool) -> bool:
    return _judgments_seen(round, is_simulated=is_simulated)[0] > 0


def digest_of_votes(round: Round, *, is_simulated: bool, version: str) -> str:
    """Of all that statistics of a round's votes depend on, without reading them.

    Judgments are only appended, so their number and their keys tell whether there are others than before;
    besides them there are the known answers, whose votes do not count, and the `version` of the maths.
    """
    seen = _judgments_seen(round, is_simulated=is_simulated)
    gold = GoldPair.objects.filter(pair__round=round).aggregate(count=Count("id"), last=Max("id"))
    content = [version, seen, gold, sorted(disqualified_people())]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _judgments_seen(round: Round, *, is_simulated: bool) -> tuple[int, int]:
    """How many judgments there are, and the sum of their keys."""
    counts, giver = counts_of(Subject.ROUND, [round.pk])[round.pk], "simulated" if is_simulated else "people"
    return counts[f"judgments.{giver}"], counts[f"judgment_keys.{giver}"]


def newest_fits(round: Round) -> dict[tuple[Track, bool], FitMade]:
    """The newest fit of each kind: of track, and of people or simulated annotators."""
    fits = VoteFit.objects.filter(round=round).order_by("track", "is_simulated", "-id")
    age = ExpressionWrapper(Now() - F("created_at"), DurationField())
    rows = fits.distinct("track", "is_simulated").values_list(
        "track", "is_simulated", "inputs_hash", "num_votes", age
    )
    return {(Track(track), is_simulated): FitMade(*made) for track, is_simulated, *made in rows}


def newest_models(round_id: int, *, is_simulated: bool) -> dict[Track, VoteModel]:
    """What is known of the voters of each track; before the first fit, nobody is known."""
    fits = VoteFit.objects.filter(round=round_id, is_simulated=is_simulated)
    newest = dict(fits.order_by("track", "-id").distinct("track").values_list("track", "model"))
    return {track: VoteModel.from_json(newest[track]) if track in newest else VoteModel() for track in Track}


def pairs_still_open(round: Round) -> QuerySet[PreferencePair]:
    """Pairs of an adaptive round with votes, of which nothing is concluded yet."""
    return PreferencePair.objects.filter(pair__round=round, pair__is_adjudicated=False, stop="")


def pairs_before_fit(round: Round) -> QuerySet[PreferencePair]:
    """Of those the ones that were resolved last when less was known of their voters."""
    newest = VoteFit.objects.filter(round=round).order_by("-id").values("created_at")[:1]
    return pairs_still_open(round).filter(updated_at__lt=Subquery(newest)).order_by("pair_id")


def pairs_left_open(round: Round) -> QuerySet[PreferencePair]:
    """Open pairs that wait for nobody: whatever left them so, looking at their votes again ends it."""
    slots = Slot.objects.filter(pair=OuterRef("pair"))
    of_round = pairs_still_open(round) if round.stopping is not None else PreferencePair.objects.none()
    return of_round.filter(Exists(slots), ~Exists(slots.filter(judged_at=None)))


def votes_saved(round: Round) -> dict[str, Any] | None:
    """What stopping saved against the round's fixed votes on both tracks; None where votes are fixed."""
    if round.stopping is None:
        return None
    real = PreferencePair.objects.filter(pair__round=round, pair__gold_verdicts__isnull=True)
    stopped = real.exclude(stop="")
    counts = dict(stopped.values_list("stop").annotate(Count("id")))
    given = Slot.objects.filter(pair__in=stopped.values("pair")).exclude(judged_at=None).count()
    fixed = sum(counts.values()) * len(Track) * round.votes_wanted
    return {
        "pairs": sum(counts.values()),
        "stops": {str(stop).replace("_", " "): counts[stop] for stop in Stop if stop in counts},
        "given": given,
        "fixed": fixed,
        "saved": 1 - given / fixed if fixed else None,
    }


def unsettled_pairs(round: Round) -> QuerySet[PreferencePair]:
    """Pairs whose votes are all there and say nothing: the adjudication queue, the oldest first.

    In adaptive rounds those that have the most votes that may be asked for; in others those of which a track
    was left undecided, or has votes for both samples and a majority for neither. People who did not agree to
    being shown are not in it.
    """
    of_round = PreferencePair.objects.filter(pair__round=round, pair__is_adjudicated=False)
    of_round = of_round.filter(given("pair__instance__group", Use.SHOW))
    of_round = of_round.select_related("pair").order_by("pair_id")
    if round.stopping is not None:
        return of_round.filter(stop=Stop.AT_MAXIMUM)
    contradicted = Q(verdict=Verdict.TIE, votes__first__gte=1, votes__second__gte=1)
    torn = Consensus.objects.filter(contradicted | Q(verdict=Verdict.UNSURE), pair=OuterRef("pair"))
    both = Consensus.objects.filter(pair=OuterRef("pair")).order_by().values("pair").annotate(n=Count("id"))
    return of_round.filter(Exists(torn), Exists(both.filter(n=len(Track))))


def adjudicated_pairs(round: Round) -> QuerySet[Adjudication]:
    """What leads decided last of each pair, the newest first; words that were taken back are left out."""
    newest = Adjudication.objects.filter(pair=OuterRef("pair")).order_by("-id").values("pk")[:1]
    words = Adjudication.objects.filter(pair__round=round, pair__is_adjudicated=True, pk=Subquery(newest))
    return words.select_related("author", "pair__preference").order_by("-id")


def may_adjudicate(user: User, pair: VideoPair) -> bool:
    """A lead who has met the pair as an annotator is no judge over it."""
    return user.is_lead and not Exposure.objects.filter(pair=pair, annotator=user).exists()


def visible_pairs(user: User) -> QuerySet[VideoPair]:
    pairs = VideoPair.objects.select_related(
        "round", "first", "second", "instance__group", "instance__prompt", "preference"
    )
    return pairs if user.is_lead else pairs.none()


def vote_counts(pair: VideoPair, track: Track) -> dict[str, int]:
    """How many people gave each verdict of a track that somebody gave."""
    given = Counter(vote.verdict for vote in latest_judgments([pair.pk])[pair.pk] if vote.slot.track == track)
    return {str(verdict): given[verdict] for verdict in Verdict if given[verdict]}


def round_votes(
    round: Round, track: Track, *, is_simulated: bool, pairs: Collection[int] | None = None
) -> VoteColumns:
    """The newest answer of every judged slot of a track, counting or not, in order; of all pairs or of some.

    Training says nothing of work, and a repeated pair has no answer that is known.
    """
    judgments = (
        Judgment.objects.filter(slot__round=round, slot__track=track, is_simulated=is_simulated)
        .exclude(slot__pair__gold__kind=GoldKind.REPEAT)
        .exclude(slot__pair__gold__is_training=True)
    )
    if pairs is not None:
        judgments = judgments.filter(slot__pair__in=pairs)
    return _columns(judgments, track)


def disqualified_people() -> set[int]:
    return set(Disqualification.objects.filter(lifted_at=None).values_list("annotator_id", flat=True))


def _columns(judgments: QuerySet[Judgment], track: Track) -> VoteColumns:
    """Of each slot the last revision, in the order in which they were given."""
    columns: dict[str, tuple[str, Combinable]] = {
        "given": ("int64", Cast(Extract("slot__judged_at", "epoch") * 1_000_000, BigIntegerField())),
        "slot": ("int64", F("slot_id")),
        "pair": ("int64", F("slot__pair_id")),
        "annotator": ("int64", F("slot__annotator_id")),
        "verdict": ("int8", _code("verdict")),
        "first_on_left": ("bool", Case(When(slot__first_side=Side.LEFT, then=True), default=False)),
        "active_s": ("float64", Coalesce(Cast(KT("evidence__active_ms"), FloatField()), nan) / 1000),
        "gold": ("int8", _code(f"slot__pair__gold_verdicts__{track}")),
    }
    newest = judgments.order_by("slot_id", "-revision").distinct("slot_id")
    rows = newest.values_list(*(expression for _, expression in columns.values()))
    read = read_columns(rows, {name: kind for name, (kind, _) in columns.items()})
    in_order = np.lexsort((read.pop("slot"), read.pop("given")))
    return VoteColumns(**{name: values[in_order] for name, values in read.items()})


def _code(column: str) -> Case:
    """The code of the verdict in a column; a pair whose answer nobody knows has none."""
    return Case(*(When(**{column: verdict}, then=code) for verdict, code in CODE.items()), default=NO_GOLD)
