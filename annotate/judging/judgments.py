"""Votes: given once, kept for ever, corrected by appending."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from annotate.database import clock
from annotate.gold.qualification import end_try
from annotate.judging.answer_schema import NotWatchedError, check_not_too_soon, check_strength, check_watched
from annotate.judging.queries import is_disqualified, is_guarded, lock_slot, votes_and_time
from annotate.judging.resolution import resolve_votes
from annotate.models import Judgment, Slot, User
from rlhf.records import SIDES, Track, verdict_of


class LeaseLostError(Exception):
    """The slot is not this person's (any more): it was given to somebody else, or never leased to them."""


class AlreadyAnsweredError(Exception):
    """The pair holds an answer of this person already, which stands.

    Attributes:
        answer: that answer.
        is_same: whether the one that was refused says the same.
    """

    def __init__(self, answer: Any, *, is_same: bool) -> None:
        super().__init__("this pair already has your answer")
        self.answer, self.is_same = answer, is_same


class TooLateError(Exception):
    """The answer can no longer be changed."""


class Details(TypedDict, total=False):
    """What may come with a choice, in the words of the screen.

    `strength` (`slightly`, `clearly`) belongs to a choice of a side. `breaks` are frames at which a video
    breaks: {"side": "left" or "right", "frame": from 0}. `evidence` has the shape of
    `annotate.judging.answer_schema.Evidence`.
    """

    strength: str
    reasons: Sequence[str]
    note: str
    breaks: Sequence[Mapping[str, Any]]
    evidence: Mapping[str, Any]


def submit_judgment(
    annotator: User, lease: UUID, choice: str, *, idempotency_key: UUID, **details: Unpack[Details]
) -> Judgment:
    """Store one vote and resolve its pair, as one transaction.

    Safe to repeat: the same answer under its key returns the first one. A lease that ran out still counts
    as long as nobody else has taken the slot: a vote is never lost for being slow.

    Raises:
        LeaseLostError: the slot is somebody else's by now.
        AlreadyAnsweredError: the slot has another answer, or the same under another key.
        TooSoonError: it came sooner after the pair was shown than `settings.ANSWER_GUARD_MS` allows.
        NotWatchedError: less of a video was shown than the track's watch gate asks for.
        ValueError: an unknown choice, details that do not go with it, or a key of another answer.
    """
    with one_answer(idempotency_key):
        slot, votes, in_hand = _locked(annotator, lease, in_turn=is_guarded(annotator))
        if slot.judged_at is not None:
            return _said_before(slot, choice, idempotency_key, details)
        if is_guarded(annotator):
            check_not_too_soon(in_hand, details.get("evidence", {}))
        check_watched(slot.track, choice, details.get("evidence", {}))
        return _append(slot, votes, 1, choice, idempotency_key, details)


def revise_judgment(
    annotator: User, lease: UUID, choice: str, *, idempotency_key: UUID, **details: Unpack[Details]
) -> Judgment:
    """Change an answer within `settings.UNDO_S` of the first one: append a revision, resolve the pair again.

    Safe to repeat, as `submit_judgment`. What was watched for an earlier answer counts for this one.

    Raises:
        LeaseLostError: this person has not judged the slot.
        TooLateError: the first answer is too old.
        NotWatchedError, ValueError: as `submit_judgment`.
    """
    with one_answer(idempotency_key):
        slot, votes, _ = _locked(annotator, lease)
        _refuse_disqualified(annotator)
        earlier = list(slot.judgments.order_by("revision"))
        if not earlier:
            raise LeaseLostError("this pair has no answer of yours to change")
        for judgment in earlier:
            if judgment.idempotency_key == idempotency_key:
                if _says(judgment, slot, choice, details):
                    return judgment
                raise ValueError(
                    f"idempotency_key {idempotency_key} was used for another answer; make a new one"
                )
        if clock.now() - earlier[0].created_at > timedelta(seconds=settings.UNDO_S):
            raise TooLateError(
                f"an answer can be changed for {settings.UNDO_S} seconds, and this one is older"
            )
        if not any(_is_watched(slot, choice, judgment.evidence) for judgment in earlier):
            check_watched(slot.track, choice, details.get("evidence", {}))
        return _append(slot, votes, earlier[-1].revision + 1, choice, idempotency_key, details)


@contextmanager
def one_answer(key: UUID) -> Iterator[None]:
    """A transaction in which an answer is stored under its key.

    Raises:
        ValueError: the key was used for an answer about another pair.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if "idempotency_key" not in str(error):
            raise
        raise ValueError(
            f"idempotency_key {key} was used for another pair; make a new one each time"
        ) from None


def _locked(annotator: User, lease: UUID, *, in_turn: bool = False) -> tuple[Slot, list[Judgment], timedelta]:
    """The slot of a lease, the votes on its pair, and how long it can have been looked at.

    Votes wait for each other until this one is stored. They are read by a statement of their own: that which
    locks sees none that it waited for.
    """
    slot = lock_slot(annotator, lease, in_turn=in_turn)
    if slot is None:
        _refuse_disqualified(annotator)  # who is disqualified holds nothing
        raise LeaseLostError("this pair was given to someone else, because the lease ran out")
    return slot, *votes_and_time(slot)


def _said_before(slot: Slot, choice: str, key: UUID, details: Details) -> Judgment:
    """The answer that was stored under this key, if it is this one.

    Raises:
        AlreadyAnsweredError: it is not, or there is none.
    """
    said = slot.judgments.filter(idempotency_key=key).first()
    if said is not None and _says(said, slot, choice, details):
        return said
    stands = slot.judgments.order_by("-revision")[0]
    stands.slot = slot
    raise AlreadyAnsweredError(stands, is_same=_says(stands, slot, choice, details))


def _says(judgment: Judgment, slot: Slot, choice: str, details: Details) -> bool:
    """Whether an answer says this, however it was looked at."""
    said = _words(slot, choice, details)
    return all(getattr(judgment, name) == value for name, value in said.items())


def _refuse_disqualified(annotator: User) -> None:
    if is_disqualified(annotator):
        raise LeaseLostError("your answers are not counted at present, so none is taken; ask a lead why")


def _append(
    slot: Slot, votes: Sequence[Judgment], revision: int, choice: str, key: UUID, details: Details
) -> Judgment:
    assert slot.annotator is not None
    judgment = Judgment(
        slot=slot,
        revision=revision,
        **_words(slot, choice, details),
        evidence=details.get("evidence", {}),
        is_simulated=slot.annotator.is_simulated,
        idempotency_key=key,
    )
    others = [vote for vote in votes if vote.slot_id != slot.pk]
    resolve_votes(slot.pair, [*others, judgment], new=judgment, may_retract=revision > 1)
    if settings.QUALIFY and slot.pair.is_gold:
        end_try(slot.annotator, Track(slot.track))
    return judgment


def _words(slot: Slot, choice: str, details: Details) -> dict[str, Any]:
    verdict, strength = verdict_of(choice, first_on_left=slot.first_on_left), details.get("strength", "")
    check_strength(choice, strength)
    return {
        "verdict": verdict,
        "strength": strength,
        "reasons": list(details.get("reasons", ())),
        "note": details.get("note", ""),
        "breaks": [_break(slot, mark) for mark in details.get("breaks", ())],
    }


def _is_watched(slot: Slot, choice: str, evidence: Mapping[str, Any]) -> bool:
    try:
        check_watched(slot.track, choice, evidence)
    except NotWatchedError:
        return False
    return True


def _break(slot: Slot, mark: Mapping[str, Any]) -> dict[str, Any]:
    num_frames = slot.pair.first.facts.get("num_frames") or slot.pair.first.settings["num_frames"]
    if not 0 <= mark["frame"] < num_frames:
        raise ValueError(f"a break is at frame {mark['frame']}; the videos have frames 0 to {num_frames - 1}")
    sample = verdict_of(mark["side"], first_on_left=slot.first_on_left, name="side", among=SIDES)
    return {"sample": str(sample), "frame": mark["frame"]}
