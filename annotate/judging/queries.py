"""Reads of stage 5: what a person holds, may be given, and has said."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import DurationField, Exists, ExpressionWrapper, F, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django_stubs_ext import WithAnnotations

from annotate.database.statements import first_row, rows
from annotate.models import (
    DifferentialPrompt,
    Disqualification,
    Instance,
    Judgment,
    Round,
    Slot,
    Subject,
    Use,
    User,
    VideoPair,
    VideoSample,
)
from annotate.privacy.consent_queries import given
from annotate.tallies.queries import count_of, counts_of
from rlhf.records import Track

# The statements of every pair and vote: to put them together by the ORM costs more than to run them.
_LATEST = """
SELECT DISTINCT ON (s.id) j.id AS judgment_id, s.id, s.track, s.annotator_id, s.first_side, j.verdict,
       j.is_simulated
FROM annotate_judgment j JOIN annotate_slot s ON s.id = j.slot_id
WHERE s.pair_id {pairs} AND NOT EXISTS (
    SELECT 1 FROM annotate_disqualification d WHERE d.annotator_id = s.annotator_id AND d.lifted_at IS NULL)
ORDER BY s.id, j.revision DESC
"""
_LATEST_OF_PAIRS = f"""
SELECT latest.*, s.pair_id
FROM ({_LATEST.format(pairs="= ANY(%(pairs)s)")}) latest JOIN annotate_slot s ON s.id = latest.id
"""
# How long the pair can have been looked at: since it was leased and, as it may have been fetched ahead, since
# this person's last answer of the track. A pair is shown once the one before it is answered, at the latest
# when that answer arrives.
_LATEST_AND_TIME = f"""
SELECT statement_timestamp() - greatest(mine.leased_at, (
           SELECT max(o.judged_at) FROM annotate_slot o
           WHERE o.annotator_id = mine.annotator_id AND o.track = mine.track AND o.judged_at IS NOT NULL)),
       latest.*
FROM annotate_slot mine LEFT JOIN ({_LATEST.format(pairs="= %(pair)s")}) latest ON true
WHERE mine.id = %(slot)s
"""
_LOCK = """
SELECT s.id, s.track, s.first_side, s.judged_at,
       p.id, p.first_id, p.second_id, p.is_adjudicated, p.gold_verdicts,
       r.id, r.kind, r.votes_wanted, r.stopping
FROM {turn}annotate_slot s
JOIN annotate_videopair p ON p.id = s.pair_id
JOIN annotate_round r ON r.id = p.round_id
WHERE s.lease = %(lease)s AND s.annotator_id = %(annotator)s
FOR NO KEY UPDATE OF s, p
"""
# The person first, as whoever disqualifies them does; the slot and its pair are locked when they are joined.
_TURN = """
WITH turn AS MATERIALIZED (SELECT id FROM annotate_user WHERE id = %(annotator)s FOR NO KEY UPDATE)
"""
_LOCK_IN_TURN = _TURN + _LOCK.format(turn="turn CROSS JOIN ")
_LOCK_AT_ONCE = _LOCK.format(turn="")

_SLOT = [field.attname for field in Slot._meta.concrete_fields]
#: What `read_leased` reads of the rows `leased` of a statement before; `{{shown}}` is what a track shows of
#: the instance `i`.
LEASED = f"""
SELECT {", ".join(f"leased.{name}" for name in _SLOT)},
       p.first_id, p.second_id, f.settings, i.id, i.group_id, t.id, t.text, t.elements, {{shown}}
FROM leased
JOIN annotate_videopair p ON p.id = leased.pair_id
JOIN annotate_videosample f ON f.id = p.first_id
JOIN annotate_instance i ON i.id = p.instance_id
JOIN annotate_differentialprompt t ON t.id = i.prompt_id
"""


Row = TypeVar("Row", bound=Model)


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


def read_leased(annotator: User, row: Sequence[Any]) -> Slot:
    """A slot of `leased_slots` from the row of the statement that leased it."""
    slot = dict(zip(_SLOT, row, strict=False))
    first, second, sampled, instance, group, prompt, text, elements, shown = row[len(_SLOT) :]
    leased = _read(
        Slot,
        **slot,
        annotator=annotator,
        pair=_read(
            VideoPair,
            id=slot["pair_id"],
            first=_read(VideoSample, id=first, settings=json.loads(sampled)),
            second_id=second,
            instance=_read(
                Instance,
                id=instance,
                group_id=group,
                prompt=_read(DifferentialPrompt, id=prompt, text=text, elements=json.loads(elements)),
            ),
        ),
    )
    leased.shown_when_leased = shown
    return leased


def may_be_shown(pair: str) -> Q:
    """Whether everybody in a pair agreed to that: its person, and of gold whoever its copies show."""
    agreed = Q(given(f"{pair}__instance__group", Use.SHOW))
    for sample in ("first", "second"):
        copy = f"{pair}__{sample}__copy_of"
        agreed &= Q(**{copy: None}) | Q(given(f"{copy}__instance__group", Use.SHOW))
    return agreed


class _Held(TypedDict):
    #: Of its lease, by the database's clock.
    time_left: timedelta


def held_slot(annotator: User, lease: UUID) -> WithAnnotations[Slot, _Held] | None:
    """A slot by its lease while its media may be looked at: until the lease runs out."""
    left = ExpressionWrapper(F("lease_expires_at") - Now(), DurationField())
    return (
        Slot.objects.annotate(time_left=left)
        .filter(annotator=annotator, lease=lease, lease_expires_at__gte=Now())
        .filter(may_be_shown("pair"))
        .select_related("pair__first", "pair__second", "pair__instance__prompt")
        .first()
    )


def changeable_judgment(annotator: User, track: str, lease: UUID | None = None) -> Judgment | None:
    """This person's last answer of a track, or of one lease, while it can be changed and its videos seen."""
    last = (
        Judgment.objects.filter(slot__annotator=annotator, slot__track=track)
        .filter(Q(slot__lease=lease) if lease else Q())
        .filter(slot__lease_expires_at__gte=Now())
        .filter(may_be_shown("slot__pair"))
        .filter(slot__judged_at__gte=Now() - timedelta(seconds=settings.UNDO_S))
        .order_by("-slot__judged_at", "-revision")
        .first()
    )
    if last is not None:
        last.slot = leased_slots(annotator).get(pk=last.slot_id)
    return last


def latest_judgments(pairs: Collection[int]) -> dict[int, list[Judgment]]:
    """The votes that count: of each judged slot the highest revision, unless its person is disqualified."""
    found: dict[int, list[Judgment]] = {pair: [] for pair in pairs}
    for *row, pair in rows(_LATEST_OF_PAIRS, {"pairs": [*pairs]}):
        found[pair].append(_vote(row))
    return found


def votes_and_time(slot: Slot) -> tuple[list[Judgment], timedelta]:
    """The latest judgments of a slot's pair, and how long its person can have seen it.

    Read after the slot was locked, they are those that it waited for.
    """
    found = rows(_LATEST_AND_TIME, {"pair": slot.pair_id, "slot": slot.pk})
    return [_vote(row[1:]) for row in found if row[1] is not None], found[0][0]


def _vote(row: Sequence[Any]) -> Judgment:
    pk, slot, track, annotator, side, verdict, is_simulated = row
    of_slot = _read(Slot, id=slot, track=track, annotator_id=annotator, first_side=side)
    return _read(Judgment, id=pk, slot=of_slot, verdict=verdict, is_simulated=is_simulated)


def is_guarded(annotator: User) -> bool:
    """Whether somebody's answers are guarded (`settings.ANSWER_GUARD_MS`): nothing is shown to a machine.

    Two of theirs at one moment then wait for each other, so that the later one sees the earlier one.
    """
    return bool(settings.ANSWER_GUARD_MS) and not annotator.is_simulated


def lock_slot(annotator: User, lease: UUID, *, in_turn: bool = False) -> Slot | None:
    """The slot that this person leased, with what storing a vote needs; it and its pair are locked.

    `in_turn` locks the person before, whose answers then wait for each other.
    """
    lock = _LOCK_IN_TURN if in_turn else _LOCK_AT_ONCE
    row = first_row(lock, {"lease": lease, "annotator": annotator.pk})
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


def num_held(annotator: User, track: str) -> int:
    return Slot.objects.filter(annotator=annotator, track=track, judged_at=None, round__is_open=True).count()


def own_counts(annotator: User) -> dict[str, int]:
    counts = counts_of(Subject.ANNOTATOR, [annotator.pk])[annotator.pk]
    return {str(track): counts[f"judged.{track}"] for track in Track}


def num_judged_by(annotator: User, track: str) -> int:
    return count_of(Subject.ANNOTATOR, annotator.pk, f"judged.{track}")


def may_choose(annotator: User, round_id: int) -> bool:
    """Whether this person may ask for this round. Simulated votes are marked, so theirs need not be blind."""
    if annotator.is_simulated or annotator.is_participant:
        return True  # a participant is given their link's round whatever they ask for
    return Round.objects.filter(pk=round_id, is_open=True, may_be_chosen=True).exists()
