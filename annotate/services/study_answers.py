"""A participant's way through a study: a seat that was planned, and an answer to each of its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from annotate.evidence import check_shown
from annotate.judging_queries import is_disqualified
from annotate.models import Study, StudyAnswer, StudySeat, StudyTask, User
from annotate.services.judgments import AlreadyJudgedError, LeaseLostError, one_answer
from annotate.services.slots import sample_at
from annotate.study_queries import held_task
from rlhf.records import Verdict
from rlhf.study_plan import Criterion

#: What a participant may answer by each criterion.
STUDY_CHOICES = ("left", "right", "tie")


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

    Safe to repeat: the same key returns the first answer.

    Raises:
        LeaseLostError: the pair is not theirs, or the study is over for them.
        AlreadyJudgedError: the pair was answered under another key.
        NotWatchedError: less of a video was shown than the stricter of the two tracks' watch gates asks for.
        ValueError: a criterion is missing or unknown, a choice unknown, or a key of another answer.
    """
    with one_answer(idempotency_key):
        mine = StudyTask.objects.filter(lease=lease, seat__participant=participant)
        task = mine.select_for_update(of=("self",)).first()
        if task is None:
            raise LeaseLostError("this pair is not yours")
        said = StudyAnswer.objects.filter(task=task).first()
        if said is not None:
            if said.idempotency_key != idempotency_key:
                raise AlreadyJudgedError("this pair already has your answer")
            return said
        if held_task(participant, lease) is None:
            why = "are not counted at present" if is_disqualified(participant) else "came after its end"
            raise LeaseLostError(f"your answers to this study {why}")
        verdicts = {criterion: _verdict(task, criterion, choices) for criterion in Criterion}
        check_shown(max(settings.WATCH_GATE.values()), evidence or {})
        return StudyAnswer.objects.create(
            task=task,
            note=note,
            evidence=evidence or {},
            is_simulated=participant.is_simulated,
            idempotency_key=idempotency_key,
            **{str(criterion): verdict for criterion, verdict in verdicts.items()},
        )


def _verdict(task: StudyTask, criterion: Criterion, choices: Mapping[str, str]) -> Verdict:
    choice = choices.get(criterion, "")
    if choice not in STUDY_CHOICES:
        raise ValueError(f"{criterion} is {choice!r}; it must be one of: {', '.join(STUDY_CHOICES)}")
    return Verdict.TIE if choice == "tie" else sample_at(task, choice)
