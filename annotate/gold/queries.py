"""Reads of gold: how people do on it, how it does with people, and who may judge what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet, Subquery

from annotate.models import GoldKind, GoldPair, Judgment, Round, Slot, User
from rlhf.records import Track, Verdict
from rlhf.votes.vote import Estimate, share

#: A person gets one repeat for so many of their answers in a round and track.
REPEAT_EVERY = 24
#: So many people's answers make a bad item show.
SUSPECT_FROM = 3


def slots_to_repeat(round: Round, *, before: datetime) -> Iterator[Slot]:
    """Every person's first answer of each `REPEAT_EVERY`, once it is old enough and not repeated yet."""
    judged = Slot.objects.filter(round=round, pair__gold=None, judged_at__lt=before)
    judged = judged.annotate(is_repeated=Exists(GoldPair.objects.filter(repeats=OuterRef("pk"))))
    seen: Counter[tuple[int | None, str]] = Counter()
    wanted = judged.select_related("pair__first", "pair__second", "pair__instance", "pair__round")
    for slot in wanted.order_by("annotator", "track", "judged_at").iterator(chunk_size=2_000):
        number = seen[slot.annotator_id, slot.track]
        seen[slot.annotator_id, slot.track] += 1
        if number % REPEAT_EVERY == 0 and not slot.is_repeated:
            yield slot


def gold_judgments(round: Round | None = None) -> QuerySet[Judgment]:
    """What was said last of each judged gold slot, training left aside."""
    judged = Judgment.objects.filter(slot__pair__gold__is_training=False)
    judged = judged.filter(slot__round=round) if round else judged
    return (
        judged.select_related("slot__pair__gold__repeats")
        .order_by("slot_id", "-revision")
        .distinct("slot_id")
    )


def gold_accuracy(annotator: User, track: Track, round: Round | None = None) -> Estimate:
    """Share of gold pairs that a person answered rightly; abstentions are wrong answers to nothing."""
    said = [
        vote.verdict == vote.slot.pair.gold_verdicts[track]
        for vote in gold_judgments(round).filter(slot__annotator=annotator, slot__track=track)
        if vote.slot.pair.gold_verdicts and vote.verdict != Verdict.UNSURE
    ]
    return share(sum(said), len(said), what="judged gold pairs")


def self_consistency(annotator: User, track: Track, round: Round | None = None) -> Estimate:
    """Share of repeated pairs of which a person said the same with the sides exchanged."""
    first = Judgment.objects.filter(slot=OuterRef("slot__pair__gold__repeats")).order_by("-revision")
    repeats = (
        gold_judgments(round)
        .filter(slot__annotator=annotator, slot__track=track, slot__pair__gold__kind=GoldKind.REPEAT)
        .annotate(first_verdict=Subquery(first.values("verdict")[:1]))
    )
    said = [vote.verdict == vote.first_verdict for vote in repeats]
    return share(sum(said), len(said), what="repeated pairs")


@dataclass(frozen=True)
class ItemRow:
    """One item as leads see it."""

    gold: GoldPair
    answer: str
    shown: int
    verdicts: dict[str, int]
    right: Estimate

    @property
    def is_suspect(self) -> bool:
        """Most people see it otherwise: rather the item is wrong than all of them."""
        said = sum(self.verdicts.values())
        return bool(self.answer) and said >= SUSPECT_FROM and (self.right.value or 0) < 0.5


def gold_items(round: Round) -> list[ItemRow]:
    """Every item but repeats, which have no answer, with what people said of it."""
    votes = Judgment.objects.order_by("slot", "-revision")
    pairs = (
        GoldPair.objects.filter(pair__round=round)
        .exclude(kind=GoldKind.REPEAT)
        .annotate(shown=Count("pair__slots"))
        .select_related("pair")
        .prefetch_related(Prefetch("pair__slots__judgments", votes))
    )
    return [_row(gold) for gold in pairs]


def _row(gold: GoldPair) -> ItemRow:
    newest = [next(iter(slot.judgments.all()), None) for slot in gold.pair.slots.all()]
    verdicts = Counter(vote.verdict for vote in newest if vote is not None)
    answer = (gold.pair.gold_verdicts or {}).get(gold.track, "")
    expressed = verdicts.total() - verdicts[Verdict.UNSURE]
    return ItemRow(
        gold=gold,
        answer=answer,
        shown=gold.shown,  # type: ignore[attr-defined]
        verdicts={str(verdict): verdicts[verdict] for verdict in Verdict if verdicts[verdict]},
        right=share(verdicts[answer], expressed, what="answers"),
    )


def repeats_of(round: Round) -> dict[str, int]:
    repeats = GoldPair.objects.filter(pair__round=round, kind=GoldKind.REPEAT)
    return {
        "made": repeats.count(),
        "judged": repeats.filter(pair__slots__judged_at__isnull=False).count(),
    }
