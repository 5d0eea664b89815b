"""A participant's way through a study: a seat that was planned, and an answer to each of its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from annotate.core.strict_fields import Uuid
from annotate.judging.answer_schema import Answer, check_not_too_soon, check_shown, chosen
from annotate.judging.judgments import AlreadyAnsweredError, LeaseLostError, one_answer
from annotate.judging.queries import is_disqualified, is_guarded
from annotate.models import STUDY_VERDICTS, Study, StudyAnswer, StudySeat, StudyTask, User
from annotate.studies.queries import held_task, lock_task, take_turn
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import Verdict, verdict_of

#: What a participant may answer by each criterion.
STUDY_CHOICES = tuple(verdict.data.choice for verdict in STUDY_VERDICTS)


class StudyAnswerOnPage(Answer):
    """An answer as the page of a study sends it: a choice by each criterion."""

    lease = Uuid()

    def get_fields(self) -> dict[str, Any]:
        by_criterion = {
            str(criterion): chosen(
                STUDY_CHOICES, missing=f"Answer by {criterion.label.lower()}, too: left, same or right."
            )
            for criterion in Criterion
        }
        return super().get_fields() | by_criterion


def take_seat(study: Study, participant: User) -> bool:
    """Give somebody the first free share of a study; False when there is none. Safe to repeat."""
    if StudySeat.objects.filter(study=study, participant=participant).exists():
        return True
    free = StudySeat.objects.select_for_update(skip_locked=True).filter(study=study, participant=None)
    seat = free.order_by("number").first()
    return seat is not None and bool(StudySeat.objects.filter(pk=seat.pk).update(participant=participant))


def submit_answer(
    participant: User,
    lease: UUID,
    choices: Mapping[str, str],
    *,
    idempotency_key: UUID,
    note: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> StudyAnswer:
    """Store what a participant says of one pair by every criterion.

    Safe to repeat: the same answer returns the first one.

    Raises:
        LeaseLostError: the pair is not theirs, or the study is over for them.
        AlreadyAnsweredError: the pair has another answer, or the same under another key.
        TooSoonError: it came sooner after the pair was shown than `settings.ANSWER_GUARD_MS` allows.
        NotWatchedError: less of a video was shown than the stricter of the two tracks' watch gates asks for.
        ValueError: a criterion is missing or unknown, a choice unknown, or a key of another answer.
    """
    evidence = evidence or {}
    with one_answer(idempotency_key):
        if is_guarded(participant):
            take_turn(participant)
        locked = lock_task(participant, lease)
        if locked is None:
            raise LeaseLostError("this pair is not yours")
        task, in_hand = locked
        words = {"note": note, **_verdicts(task, choices)}
        said = StudyAnswer.objects.filter(task=task).first()
        if said is not None:
            is_same = all(getattr(said, name) == value for name, value in words.items())
            if is_same and said.idempotency_key == idempotency_key:
                return said
            raise AlreadyAnsweredError(said, is_same=is_same)
        if held_task(participant, lease) is None:
            why = "are not counted at present" if is_disqualified(participant) else "came after its end"
            raise LeaseLostError(f"your answers to this study {why}")
        if is_guarded(participant):
            check_not_too_soon(in_hand, evidence)
        check_shown(max(settings.WATCH_GATE.values()), evidence)
        return StudyAnswer.objects.create(
            task=task,
            **words,
            evidence=evidence,
            is_simulated=participant.is_simulated,
            idempotency_key=idempotency_key,
        )


def _verdicts(task: StudyTask, choices: Mapping[str, str]) -> dict[str, Verdict]:
    is_first_left = task.first_on_left
    return {
        str(c): verdict_of(choices.get(c, ""), first_on_left=is_first_left, name=c, among=STUDY_CHOICES)
        for c in Criterion
    }
