"""Reads of pairs and votes one by one, for leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, QuerySet, prefetch_related_objects

from annotate.database.statements import rows
from annotate.judging.vote_queries import disqualified_people
from annotate.models import (
    Consensus,
    Export,
    Judgment,
    PreferencePair,
    Round,
    Slot,
    Use,
    User,
    VideoPair,
)
from annotate.models.judgment import TOLD
from annotate.privacy.consent_queries import given
from rlhf.records import JointState, Track

#: What the votes of an annotator can be narrowed to, in words.
ONLY = {
    "": "all",
    "told": "with a note, reasons or breaks",
    "differs": "unlike the result",
    "gold": "on gold",
}
#: Votes with a note, a reason or a break mark that a request may count by itself.
QUICK_NOTES = 5_000


@dataclass(frozen=True)
class GivenVote:
    """A vote as it stands: the newest of its revisions, beside what the track came to."""

    slot: Slot
    judgment: Judgment
    num_revisions: int
    consensus: str | None  # the track's verdict
    counts: bool

    @property
    def differs(self) -> bool:
        return self.consensus is not None and self.consensus != self.judgment.verdict

    @property
    def watched(self) -> float | None:
        """Share of the frames that were shown of the less watched video."""
        shares = self.judgment.evidence.get("coverage", {})
        return min(shares["left"], shares["right"]) if shares.keys() >= {"left", "right"} else None

    @property
    def active_s(self) -> float | None:
        spent = self.judgment.evidence.get("active_ms")
        return None if spent is None else spent / 1000


def pairs_of(round: Round, state: str) -> QuerySet[VideoPair]:
    """The pairs of a round, of one joint state or of all; no gold."""
    pairs = _no_gold(round).select_related("preference", "instance__group", "instance__prompt")
    return pairs.filter(preference__joint_state=state) if state in list(JointState) else pairs


def neighbours(pair: VideoPair) -> tuple[int | None, int | None]:
    """The pairs of the round before and after it, by number."""
    others = _no_gold(pair.round).values_list("pk", flat=True)
    before = others.filter(pk__lt=pair.pk).order_by("-pk").first()
    return before, others.filter(pk__gt=pair.pk).order_by("pk").first()


def _no_gold(round: Round) -> QuerySet[VideoPair]:
    return VideoPair.objects.filter(round=round, gold_verdicts__isnull=True)


def votes_of(
    *, round: Round | None = None, annotator: User | None = None, track: str = "", only: str = ""
) -> QuerySet[Slot]:
    """Judged slots of a round, or of an annotator and then narrowed to some of `ONLY`."""
    slots = Slot.objects.filter(judged_at__isnull=False).select_related("annotator", "pair__round")
    if round is not None:
        slots = slots.filter(round=round)
    if track in list(Track):
        slots = slots.filter(track=track)
    if annotator is None:
        return slots
    slots = slots.filter(annotator=annotator)
    newest = _newest().filter(slot=OuterRef("pk"))
    if only == "told":
        slots = slots.filter(Exists(newest.filter(TOLD)))
    if only == "gold":
        slots = slots.filter(pair__gold_verdicts__isnull=False)
    if only == "differs":
        others = Consensus.objects.filter(pair=OuterRef(OuterRef("pair")), track=OuterRef(OuterRef("track")))
        slots = slots.filter(
            Exists(newest.exclude(verdict__in=others.values("verdict"))),
            Exists(Consensus.objects.filter(pair=OuterRef("pair"), track=OuterRef("track"))),
        )
    return slots


def given_votes(slots: Sequence[Slot]) -> list[GivenVote]:
    """What was said, in three statements however many slots there are."""
    prefetch_related_objects(
        slots, Prefetch("judgments", Judgment.objects.order_by("revision")), "pair__consensuses"
    )
    left_out = disqualified_people() if slots else set()
    return [_given_vote(slot, slot.annotator_id not in left_out) for slot in slots]


def _given_vote(slot: Slot, counts: bool) -> GivenVote:
    said = list(slot.judgments.all())
    verdicts = {found.track: found.verdict for found in slot.pair.consensuses.all()}
    return GivenVote(slot, said[-1], len(said), verdicts.get(slot.track), counts)


def _newest() -> QuerySet[Judgment]:
    later = Judgment.objects.filter(slot=OuterRef("slot"), revision__gt=OuterRef("revision"))
    return Judgment.objects.filter(~Exists(later))


def told_in(round: Round, reason: str = "") -> QuerySet[Judgment]:
    """The newest answers of a round in which more is told than the verdict, or those with one reason."""
    told = _newest().filter(TOLD, slot__round=round).select_related("slot__annotator", "slot__pair")
    return told.filter(reasons__contains=[reason]) if reason else told


_REASONS = """
SELECT s.track, reason, count(*), count(DISTINCT s.annotator_id)
FROM annotate_judgment j
JOIN annotate_slot s ON s.id = j.slot_id
CROSS JOIN LATERAL jsonb_array_elements_text(j.reasons) reason
WHERE s.round_id = %(round)s AND j.reasons <> '[]'
  AND NOT EXISTS (SELECT FROM annotate_judgment l WHERE l.slot_id = j.slot_id AND l.revision > j.revision)
GROUP BY s.track, reason ORDER BY count(*) DESC, reason
"""


def reasons_in(round: Round) -> list[dict[str, Any]]:
    """Every reason that was given in a round, how often and by how many people, the most frequent first."""
    names = ("track", "reason", "votes", "people")
    return [dict(zip(names, row, strict=True)) for row in rows(_REASONS, {"round": round.pk})]


def why_not_exported(pair: VideoPair) -> list[str]:
    """All that keeps a pair out of an export of its round's dominant pairs that is made now."""
    found = getattr(pair, "preference", None)
    if pair.gold_verdicts is not None:
        return ["its answer is known: it is gold"]
    if found is None:
        return ["its votes are not in"]
    why = (
        []
        if found.joint_state == JointState.DOMINANT
        else [found.reason or "no video is better on both tracks"]
    )
    if pair.prompt_unread:
        why.append(f"the model did not read the whole prompt: {pair.prompt_unread}")
    if found.is_simulated:
        why.append("votes of simulated annotators are among those that decided; exports may include them")
    agreed = VideoPair.objects.filter(given("instance__group", Use.TRAIN), pk=pair.pk)
    if not agreed.exists():
        why.append(f"{pair.instance.group.name} did not agree to training")
    return why


def exports_with(preference: PreferencePair) -> QuerySet[Export]:
    """The exports that hold a pair, the newest first, with what was trained on them."""
    return preference.exports.select_related("round").prefetch_related("trained_versions").order_by("-pk")
