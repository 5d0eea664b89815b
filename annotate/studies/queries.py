"""Reads of user studies and entry links: what may be compared, who came, what they see and answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotate.database.statements import first_row, rows
from annotate.judging.assignment_queries import judged_slots
from annotate.judging.queries import disqualified, is_disqualified
from annotate.models import (
    Entry,
    EntryLink,
    Run,
    RunStatus,
    Stage,
    Study,
    StudyAnswer,
    StudyTask,
    StudyVideo,
    Use,
    User,
)
from annotate.privacy.consent_queries import given
from rlhf.evaluation.stored import in_current_keys
from rlhf.evaluation.study_figures import Answer
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import SIDES, Verdict, verdict_of

# As in `judging_queries`: a pair is shown once its participant is in, and has answered the one before.
_LOCK_TASK = """
SELECT t.id, statement_timestamp() - greatest(
           (SELECT max(e.consented_at) FROM annotate_entry e
            JOIN annotate_participant p ON p.id = e.participant_id
            JOIN annotate_study y ON y.link_id = e.link_id
            WHERE y.id = seat.study_id AND p.account_id = seat.participant_id),
           (SELECT max(a.created_at) FROM annotate_studyanswer a
            JOIN annotate_studytask o ON o.id = a.task_id WHERE o.seat_id = seat.id))
FROM annotate_studytask t JOIN annotate_studyseat seat ON seat.id = t.seat_id
WHERE t.lease = %s AND seat.participant_id = %s
FOR NO KEY UPDATE OF t
"""

#: An input of an evaluation: an instance's id and the seed of its videos.
Input = tuple[str, int]


def visible_studies(user: User) -> QuerySet[Study]:
    studies = Study.objects.select_related("run__round", "link").order_by("-id")
    return studies if user.is_lead else studies.none()


def runs_to_study() -> QuerySet[Run]:
    """Finished evaluations, the newest first."""
    return (
        Run.objects.filter(stage=Stage.EVALUATE, status=RunStatus.DONE)
        .select_related("round")
        .order_by("-id")
    )


def systems_of(run: Run) -> dict[str, str]:
    """The systems of an evaluation that have videos, with what they are called."""
    result = in_current_keys(run.result or {})
    there = {video["system"] for video in result.get("videos", []) if video["path"]}
    systems = result.get("systems") or {}
    return {name: str(systems.get(name, {}).get("label", name)) for name in sorted(there)}


def videos_by_input(run: Run, systems: Iterable[str]) -> dict[Input, dict[str, str]]:
    """The inputs of which every one of these systems has a video, with its path below the run's folder."""
    wanted = set(systems)
    paths: dict[Input, dict[str, str]] = defaultdict(dict)
    for video in in_current_keys(run.result or {}).get("videos", []):
        if video["path"] and video["system"] in wanted:
            paths[str(video["instance_id"]), int(video["seed"])][video["system"]] = video["path"]
    return {key: paths[key] for key in sorted(paths) if paths[key].keys() == wanted}


# -- a participant's page ------------------------------------------------------------------------------


def entry_of(participant: User, study_id: int) -> Entry | None:
    """A participant's way into a study; None for everybody else."""
    entries = Entry.objects.filter(participant__account=participant, link__study=study_id)
    return entries.select_related("link__study", "participant__account").first()


def _shown_tasks() -> QuerySet[StudyTask]:
    """People of other sites' sets are their makers' care."""
    person = "pair__first__input__group"
    return StudyTask.objects.filter(Q(**{person: None}) | Q(given(person, Use.SHOW)))


def tasks_of(participant: User, study: Study) -> QuerySet[StudyTask]:
    """The pairs of a participant's seat, without people who do not agree to it any more."""
    tasks = _shown_tasks().filter(seat__participant=participant, seat__study=study)
    return tasks.select_related("pair__first__input", "pair__second").order_by("position")


def is_going_on(entry: Entry) -> bool:
    """Whether a participant may look at pairs of their study, and answer."""
    study, link = entry.link.study, entry.link
    stopped = entry.finished_at or link.ended_at or is_disqualified(entry.participant.account)
    return study.opened_at is not None and not stopped


def next_task(entry: Entry, *, ahead_of: UUID | None = None) -> StudyTask | None:
    """The first pair that a participant has not answered, or the one that follows it."""
    if not is_going_on(entry):
        return None
    waiting = tasks_of(entry.participant.account, entry.link.study).filter(answer=None)
    if ahead_of is not None:
        current = StudyTask.objects.filter(lease=ahead_of).values("position")[:1]
        waiting = waiting.filter(position__gt=current)
    return waiting.first()


def held_task(user: User, lease: UUID, *, to_look: bool = False) -> StudyTask | None:
    """A pair by its lease, for its participant alone, while they take part; to look at it, or to answer.

    An answer to a pair counts although its person takes their consent back meanwhile.
    """
    tasks = _shown_tasks() if to_look else StudyTask.objects.all()
    related = tasks.select_related("seat", "pair__first__input", "pair__second")
    task = related.filter(lease=lease, seat__participant=user).first()
    entry = entry_of(user, task.seat.study_id) if task else None
    return task if entry and is_going_on(entry) else None


def take_turn(participant: User) -> None:
    """Two answers of one person at one moment wait for each other, so that the later one sees the earlier."""
    rows("SELECT 1 FROM annotate_user WHERE id = %s FOR NO KEY UPDATE", [participant.pk])


def lock_task(participant: User, lease: UUID) -> tuple[StudyTask, timedelta] | None:
    """A participant's pair, locked, and how long it can have been looked at by now."""
    row = first_row(_LOCK_TASK, [lease, participant.pk])
    return (StudyTask.objects.get(pk=row[0]), row[1] or timedelta.max) if row else None


def num_answered(participant: User, study: Study) -> int:
    return StudyAnswer.objects.filter(task__seat__participant=participant, task__seat__study=study).count()


def shown_file(task: StudyTask, name: str) -> str | None:
    """The stored file behind a name of a pair, or None where the page shows no such thing."""
    if name in SIDES:
        video: StudyVideo = getattr(task.pair, verdict_of(name, first_on_left=task.first_on_left))
        return video.path
    name, _, part = name.partition(".")
    for number, shown in enumerate(task.pair.first.input.shown):
        if name == f"reference-{number}":
            path: str = shown["poster" if part == "poster" else "path"]
            return path
    return None


# -- what was answered ---------------------------------------------------------------------------------


def with_counts(studies: QuerySet[Study]) -> QuerySet[Study]:
    """With how many took a seat, and how much of all that is asked for was answered."""
    tasks = Count("seats__tasks", distinct=True)
    answered = Count("seats__tasks__answer", distinct=True)
    came = Count("seats__participant", distinct=True)
    seats = Count("seats", distinct=True)
    return studies.annotate(num_tasks=tasks, num_answered=answered, num_came=came, num_seats=seats)


def counting_answers(study: Study) -> QuerySet[StudyAnswer]:
    """The answers that count, with what is needed of them; those of who is disqualified do not."""
    answers = StudyAnswer.objects.filter(
        ~disqualified("task__seat__participant"), task__seat__study=study
    ).select_related(
        "task__seat", "task__pair__first__model", "task__pair__second__model", "task__pair__first__input"
    )
    return answers.order_by("task__seat__number", "task__position")


def is_answered_by_people(study: Study) -> bool:
    return counting_answers(study).filter(is_simulated=False).exists()


def answers_on(study: Study, *, is_simulated: bool) -> list[Answer]:
    """What people, or simulated participants, said of the models."""
    return [
        Answer(
            participant=answer.task.seat.number,
            pair=answer.task.pair_id,
            first=answer.task.pair.first.model.label,
            second=answer.task.pair.second.model.label,
            first_on_left=answer.task.first_on_left,
            verdicts={criterion: Verdict(getattr(answer, criterion)) for criterion in Criterion},
        )
        for answer in counting_answers(study).filter(is_simulated=is_simulated)
    ]


# -- entry links ---------------------------------------------------------------------------------------


def visible_links(user: User) -> QuerySet[EntryLink]:
    links = EntryLink.objects.select_related("judging__round", "study").annotate(
        num_entered=Count("entries"), num_finished=Count("entries__finished_at")
    )
    return links.order_by("-id") if user.is_lead else links.none()


def find_link(token: str) -> EntryLink | None:
    return EntryLink.objects.select_related("judging__round", "study").filter(token=token).first()


def entries_of(link: EntryLink) -> QuerySet[Entry]:
    """Who came in by a link, with how much they have judged of its work."""
    work, account = link.work, OuterRef("participant__account")
    judged: QuerySet[Any, Any]
    if isinstance(work, Study):
        answered = StudyAnswer.objects.filter(task__seat__study=work, task__seat__participant=account)
        judged = answered.order_by().values("task__seat").annotate(count=Count("id"))
    else:
        slots = judged_slots(work).filter(annotator=account).order_by().values("annotator")
        judged = slots.annotate(count=Count("id"))
    count = Coalesce(Subquery(judged.values("count"), output_field=IntegerField()), 0)
    return link.entries.select_related("participant__account").annotate(num_judged=count)
