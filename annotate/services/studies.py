"""User studies: planned from the videos of a finished evaluation, opened once the videos are stored."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotate.models import (
    Run,
    Side,
    Study,
    StudyModel,
    StudyPair,
    StudySeat,
    StudyTask,
    StudyVideo,
    User,
)
from annotate.services.audit import record_event
from annotate.services.entries import LinkTerms, add_link
from annotate.services.runs import run_dir
from annotate.services.slots import FACTS_ALIKE
from annotate.study_queries import Input, arms_of, videos_by_input
from generator.normalise import normalise
from generator.video import MediaError
from rlhf.study_plan import Planned, plan_study


@dataclass(frozen=True)
class StudyPlan:
    """What is compared, by how many people; `seed` decides everything that is left to chance."""

    run: Run
    arms: Sequence[str]
    pairs_a_person: int
    seed: int = 0


@transaction.atomic
def make_study(plan: StudyPlan, terms: LinkTerms, actor: User | None = None) -> Study:
    """Plan a study for as many participants as its link lets in; `store_videos` opens it.

    Raises:
        ValueError: a value cannot be used; the message names it.
    """
    known = arms_of(plan.run)
    arms = list(dict.fromkeys(plan.arms))
    if unknown := [arm for arm in arms if arm not in known]:
        there = ", ".join(known) or "none with videos"
        raise ValueError(f"{plan.run} has no arm {unknown[0]!r}; it has: {there}")
    if Study.objects.filter(name=terms.name).exists():
        raise ValueError(f"the name {terms.name!r} is taken; choose another one")
    found = videos_by_input(plan.run, arms)
    if len(arms) >= 2 and not found:
        raise ValueError(
            f"the arms {', '.join(arms)} share no input that is an instance of this site; "
            "choose arms with videos of the same people"
        )
    seats = plan_study(arms, len(found), terms.max_people, plan.pairs_a_person, seed=plan.seed)
    study = Study.objects.create(
        name=terms.name,
        run=plan.run,
        seed=plan.seed,
        pairs_a_person=plan.pairs_a_person,
        link=add_link(terms, actor),
        created_by=actor,
    )
    videos = _add_videos(study, {arm: known[arm] for arm in arms}, found)
    _add_seats(study, seats, list(found), videos)
    record_event("make_study", study, actor=actor, run=plan.run.pk, arms=arms)
    return study


def _add_videos(
    study: Study, labels: dict[str, str], found: dict[Input, dict[str, str]]
) -> dict[tuple[Input, str], StudyVideo]:
    videos = {}
    for arm, label in labels.items():
        # Two arms may be called alike; what people read must tell them apart.
        name = label if list(labels.values()).count(label) == 1 else f"{label} ({arm})"
        model = StudyModel.objects.create(study=study, arm=arm, label=name)
        rows = StudyVideo.objects.bulk_create(
            StudyVideo(model=model, instance_id=key[0], seed=key[1], source=paths[arm])
            for key, paths in found.items()
        )
        videos |= {(key, arm): row for key, row in zip(found, rows, strict=True)}
    return videos


def _add_seats(
    study: Study,
    seats: list[list[Planned]],
    inputs: list[Input],
    videos: dict[tuple[Input, str], StudyVideo],
) -> None:
    wanted = {(pair.item, pair.first, pair.second) for plan in seats for pair in plan}
    keys = sorted(wanted)
    rows = StudyPair.objects.bulk_create(
        StudyPair(study=study, first=videos[inputs[item], first], second=videos[inputs[item], second])
        for item, first, second in keys
    )
    pairs = dict(zip(keys, rows, strict=True))
    places = StudySeat.objects.bulk_create(
        StudySeat(study=study, number=number) for number in range(1, len(seats) + 1)
    )
    StudyTask.objects.bulk_create(
        StudyTask(
            seat=seat,
            position=position,
            pair=pairs[planned.item, planned.first, planned.second],
            first_side=Side.LEFT if planned.first_on_left else Side.RIGHT,
        )
        for seat, plan in zip(places, seats, strict=True)
        for position, planned in enumerate(plan, start=1)
    )


def store_videos(study: Study) -> bool:
    """Keep a copy of every video under a name that says nothing, all in one form, and open the study.

    What is stored already stays, so it may be called again. False, with the reason in `error`, where a video
    cannot be used.
    """
    if study.opened_at is not None:
        return True
    videos = StudyVideo.objects.filter(model__study=study).select_related("model", "instance")
    error = ""
    try:
        for video in videos.filter(path=""):
            _store(study, video)
        _check_alike(list(videos.all()))
    except (MediaError, OSError, ValueError) as problem:
        error = " ".join(str(problem).split())
    Study.objects.filter(pk=study.pk, opened_at=None).update(
        error=error, opened_at=None if error else timezone.now()
    )
    study.refresh_from_db()
    return not error


def _store(study: Study, video: StudyVideo) -> None:
    path = f"studies/{study.pk}/{uuid.uuid4()}.mp4"
    target = settings.STORAGE_ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    source = run_dir(study.run).resolve(video.source)
    try:
        facts = normalise(source, target)
    except (MediaError, OSError) as problem:
        raise ValueError(f"{video.model.arm}/{source.name} cannot be used: {problem}") from None
    known: dict[str, Any] = {name: getattr(facts, name) for name in FACTS_ALIKE}
    if not StudyVideo.objects.filter(pk=video.pk, path="").update(path=path, facts=known):
        target.unlink()  # another worker was faster


def _check_alike(videos: list[StudyVideo]) -> None:
    """
    Raises:
        ValueError: two videos could be told apart by their form.
    """
    for video in videos:
        for name in FACTS_ALIKE:
            here, there = video.facts[name], videos[0].facts[name]
            if here != there:
                raise ValueError(
                    f"videos differ in {name}: {there} in {videos[0].source}, {here} in {video.source}; "
                    "people would tell models apart by that. Bring all into one form, then try again"
                )
