"""Reads of stage 5: what a person holds, may be given, and has said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from annotate.models import Disqualification, Exposure, Judgment, Round, Slot, User, VideoPair, VideoSample
from annotate.qualification_queries import standing_of
from rlhf.records import Track

# The two statements of every vote: to put them together by the ORM costs more than to run them.
_LATEST = """
SELECT DISTINCT ON (s.id) j.id, s.id, s.track, s.annotator_id, s.first_side, j.verdict, j.is_simulated
FROM annotate_judgment j JOIN annotate_slot s ON s.id = j.slot_id
WHERE s.pair_id = %s AND NOT EXISTS (
    SELECT 1 FROM annotate_disqualification d WHERE d.annotator_id = s.annotator_id AND d.lifted_at IS NULL)
ORDER BY s.id, j.revision DESC
"""
_LOCK = """
SELECT s.id, s.track, s.first_side, s.judged_at,
       p.id, p.first_id, p.second_id, p.is_adjudicated, p.gold_verdicts,
       r.id, r.kind, r.votes_wanted, r.stopping
FROM annotate_slot s
JOIN annotate_videopair p ON p.id = s.pair_id
JOIN annotate_round r ON r.id = p.round_id
WHERE s.lease = %s AND s.annotator_id = %s
FOR NO KEY UPDATE OF s, p
"""

Row = TypeVar("Row", bound=Model)

#: Open slots are counted up to here: more would only be another number, and cost what it says.
MOST_COUNTED = 1_000


def leased_slots(annotator: User) -> QuerySet[Slot]:
    """The slots that this person holds or has judged, with what `tracks.judging_task` needs and no more."""
    return (
        Slot.objects.filter(annotator=annotator)
        .select_related("pair__first", "pair__instance__prompt")
        .only(
            *(field.attname for field in Slot._meta.concrete_fields),
            "pair__first__settings",
            "pair__second",
            "pair__instance__group",
            "pair__instance__prompt__text",
            "pair__instance__prompt__elements",
        )
    )


def held_slot(annotator: User, lease: UUID) -> Slot | None:
    """A slot by its lease while its media may be looked at: until the lease runs out."""
    return (
        Slot.objects.filter(annotator=annotator, lease=lease, lease_expires_at__gte=Now())
        .select_related("pair__first", "pair__second", "pair__instance__prompt")
        .first()
    )


def changeable_judgment(annotator: User, track: str) -> Judgment | None:
    """This person's last answer of a track while it can be changed, and its videos be looked at."""
    last = (
        Judgment.objects.filter(slot__annotator=annotator, slot__track=track)
        .filter(slot__lease_expires_at__gte=Now())
        .filter(slot__judged_at__gte=Now() - timedelta(seconds=settings.UNDO_S))
        .order_by("-slot__judged_at", "-revision")
        .first()
    )
    if last is not None:
        last.slot = leased_slots(annotator).get(pk=last.slot_id)
    return last


def latest_judgments(pair_id: int) -> list[Judgment]:
    """The votes that count: of each judged slot the highest revision, unless its person is disqualified."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, [pair_id])
        rows = cursor.fetchall()
    return [
        _read(
            Judgment,
            id=pk,
            slot=_read(Slot, id=slot, track=track, annotator_id=annotator, first_side=side),
            verdict=verdict,
            is_simulated=is_simulated,
        )
        for pk, slot, track, annotator, side, verdict, is_simulated in rows
    ]


def lock_slot(annotator: User, lease: UUID) -> Slot | None:
    """The slot that this person leased, with what storing a vote needs; it and its pair are locked."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [lease, annotator.pk])
        row = cursor.fetchone()
    if row is None:
        return None
    slot, track, side, judged_at, pair, first, second, is_adjudicated, gold = row[:9]
    round, kind, wanted, stopping = row[9:]
    rule = json.loads(stopping) if stopping is not None else None
    return _read(
        Slot,
        id=slot,
        track=track,
        first_side=side,
        judged_at=judged_at,
        annotator=annotator,
        pair=_read(
            VideoPair,
            id=pair,
            first_id=first,
            second_id=second,
            is_adjudicated=is_adjudicated,
            gold_verdicts=json.loads(gold) if gold is not None else None,
            round=_read(Round, id=round, kind=kind, votes_wanted=wanted, stopping=rule),
        ),
    )


def _read(table: type[Row], **values: Any) -> Row:
    """A row of which some columns were read; the others are fetched where somebody asks for them."""
    related = {name: value for name, value in values.items() if isinstance(value, Model)}
    plain = {f"{name}_id" if name in related else name: getattr(v, "pk", v) for name, v in values.items()}
    names = [field.attname for field in table._meta.concrete_fields if field.attname in plain]
    row = table.from_db(connection.alias, names, [plain[name] for name in names])
    for name, value in related.items():
        setattr(row, name, value)
    return row


def disqualified(person: str) -> Exists:
    """Whether the person in the column `person` is disqualified now."""
    return Exists(Disqualification.objects.filter(annotator=OuterRef(person), lifted_at=None))


def is_disqualified(annotator: User) -> bool:
    return Disqualification.objects.filter(annotator=annotator, lifted_at=None).exists()


def own_counts(annotator: User) -> dict[str, int]:
    """How many answers this person has given, per track."""
    counts = dict.fromkeys((str(track) for track in Track), 0)
    judged = Slot.objects.filter(annotator=annotator).exclude(judged_at=None)
    counts.update(judged.values_list("track").annotate(Count("id")))
    return counts


def wanted_slots(track: str) -> QuerySet[Slot]:
    """Votes of open rounds that nobody has given yet, whether somebody is at it or not."""
    return _open_slots(track).exclude(pair__instance__group__consent_expires_on__lt=timezone.localdate())


def _open_slots(track: str) -> QuerySet[Slot]:
    """Gold has no slots that anybody waits for."""
    return Slot.objects.filter(
        track=track, judged_at=None, round__is_open=True, pair__gold_verdicts__isnull=True
    ).order_by()


def _unmet(annotator: User, slots: QuerySet[Slot]) -> QuerySet[Slot]:
    """Without pairs that this person holds or has judged, or has met on the other track."""
    own = Slot.objects.filter(pair=OuterRef("pair"), annotator=annotator)
    met = Exposure.objects.filter(pair=OuterRef("pair"), annotator=annotator).exclude(track=OuterRef("track"))
    return slots.filter(~Exists(own), ~Exists(met))


def _free(slots: QuerySet[Slot]) -> QuerySet[Slot]:
    return slots.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now()))


def open_slots_for(annotator: User, track: str, round_id: int | None = None) -> int:
    """How many slots of a track this person holds or could be given; `MOST_COUNTED` is that many or more."""
    if is_disqualified(annotator):
        return 0
    wanted = wanted_slots(track)
    if round_id is not None:
        wanted = wanted.filter(round=round_id)
    held = wanted.filter(annotator=annotator).count()
    free = _free(_unmet(annotator, wanted))[:MOST_COUNTED].count()
    return min(held + free, MOST_COUNTED)


def why_empty(annotator: User, track: str) -> str:
    """Why there is no next pair: the first reason that holds, as one sentence."""
    if is_disqualified(annotator):
        return "Your answers are not counted at present, so you are given no more pairs. Ask a lead why."
    if not (standing := standing_of(annotator, track)).is_qualified:
        return standing.says
    wanted = wanted_slots(track)
    if not wanted.exists():
        if VideoSample.objects.filter(path="", error="").exists():
            return "New videos are being made. Come back in a few minutes."
        if _open_slots(track).exists():
            return "The pairs that are left show people whose consent has ended, so nobody is shown them."
        return "Every pair of this track has its votes. Thank you."
    unmet = _unmet(annotator, wanted)
    if not unmet.exists():
        return (
            "The pairs that are left are ones you have already met: nobody judges both tracks of a pair, "
            "nor one pair twice. They wait for other people."
        )
    free = _free(unmet)
    if not free.exists():
        return "The pairs that are left are in other people's hands just now. Come back in a few minutes."
    return _reached_cap(annotator, free)


def _reached_cap(annotator: User, free: QuerySet[Slot]) -> str:
    """Which limit keeps this person from pairs that are free."""
    most = settings.MAX_PAIRS_A_PERSON
    rounds = Round.objects.filter(Exists(free.filter(round=OuterRef("pk"))))
    if most and all(round.slots.filter(annotator=annotator).count() >= most for round in rounds):
        return f"You have judged {most} pairs of this round, as many as one person may. Thank you."
    if most := settings.MAX_PAIRS_A_PERSON_AND_IDENTITY:
        return (
            "The pairs that are left show people whom you have judged as often as one person may "
            f"({most}). They wait for other people."
        )
    return "A pair has become free this very moment. Look again."
