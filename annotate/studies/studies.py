"""User studies: planned from the videos of a finished evaluation, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.db.models import Count, Q

from annotate.core.audit import record_event
from annotate.jobs.runs import read_request, run_dir
from annotate.models import (
    EntryLink,
    IdentityGroup,
    Instance,
    Reference,
    Run,
    Side,
    Study,
    StudyInput,
    StudyModel,
    StudyPair,
    StudySeat,
    StudyTask,
    StudyVideo,
    Use,
    User,
)
from annotate.people.queries import statements_of
from annotate.privacy.consent_queries import given, refusal_among
from annotate.studies.entries import add_link
from annotate.studies.queries import Input, systems_of, videos_by_input
from generator.files import file_sha256
from generator.rundir import RunDir, RunError
from rlhf.evaluation.records import EvaluationInstance
from rlhf.evaluation.request import read_instances
from rlhf.evaluation.study_plan import Planned, plan_study


@dataclass(frozen=True)
class Asked:
    """What an instance of an evaluation asked for; `group` is its person where this site knows them."""

    statements: list[str]
    sources: list[dict[str, str]]
    group: IdentityGroup | None


def asked_of(run: Run) -> dict[str, Asked]:
    """The instances of an evaluation that may be shown, by id: not those of people who did not agree to it.

    Raises:
        ValueError: the run's folder does not say what they were, or nobody in it agreed to being shown.
    """
    folder = run_dir(run)
    try:
        request = read_request(run)
        instances = read_instances(folder, request)
    except (RunError, KeyError, ValueError) as error:
        raise ValueError(f"{run} does not say what was asked for ({error}); evaluate again") from None
    asked = _asked_by_set(instances, folder) if "path" in request.get("set", {}) else _asked_here(instances)
    refused = _refused({what.group.pk for what in asked.values() if what.group})
    shown = {name: what for name, what in asked.items() if not (what.group and what.group.pk in refused)}
    if refused and not shown:
        raise ValueError(refusal_among(IdentityGroup.objects.all(), refused, Use.SHOW))
    return shown


def _asked_here(instances: Iterable[EvaluationInstance]) -> dict[str, Asked]:
    """Where no set is named, ids are those of this site's instances; people may be erased since."""
    by_id = {item.instance_id: item for item in instances if item.instance_id.isdecimal()}
    own = Instance.objects.filter(pk__in=list(by_id)).select_related("prompt", "group")
    return {
        name: Asked(list(statements_of(row)), _sources(by_id[name]), row.group)
        for row in own
        if (name := str(row.pk)) in by_id
    }


def _asked_by_set(instances: Sequence[EvaluationInstance], folder: RunDir) -> dict[str, Asked]:
    """In the set's own words; copies of references tell whose they are, where this site knows them."""
    files = {item.instance_id: [folder.resolve(path) for path in item.id_group] for item in instances}
    people = _people_of({file for group in files.values() for file in group})
    return {
        item.instance_id: Asked(
            [item.prompt],
            _sources(item),
            next((people[file] for file in files[item.instance_id] if file in people), None),
        )
        for item in instances
    }


def _sources(asked: EvaluationInstance) -> list[dict[str, str]]:
    """Everything that is shown beside the videos, the primary reference first."""
    paths = dict.fromkeys([*(path for path, _ in asked.references), *asked.id_group])
    sources = [{"name": "Reference", "source": path} for path in paths]
    sources[0]["name"] = "Primary reference"
    return sources + [{"name": named.name, "source": named.path} for named in asked.elements if named.path]


def _people_of(files: Iterable[Path]) -> dict[Path, IdentityGroup]:
    """Whose references these files are, by file."""
    hashes = {file: file_sha256(file) for file in files if file.is_file()}
    known = Reference.objects.filter(sha256__in=set(hashes.values())).select_related("group").order_by("-id")
    groups = {reference.sha256: reference.group for reference in known}
    return {file: groups[sha256] for file, sha256 in hashes.items() if sha256 in groups}


def _refused(people: set[int]) -> set[int]:
    """Which of these people did not agree to being shown."""
    refused = IdentityGroup.objects.filter(~Q(given("", Use.SHOW))).values_list("pk", flat=True)
    return people.intersection(refused.iterator())


@transaction.atomic
def make_study(
    run: Run,
    systems: Iterable[str],
    link: EntryLink,
    *,
    pairs_per_person: int,
    seed: int = 0,
    actor: User | None = None,
) -> Study:
    """Plan a study for as many participants as its new link lets in; `media.store_media` opens it.

    `seed` decides everything that is left to chance.

    Raises:
        ValueError: a value cannot be used; the message names it.
    """
    known = systems_of(run)
    systems = list(dict.fromkeys(systems))
    if unknown := [system for system in systems if system not in known]:
        there = ", ".join(known) or "none with videos"
        raise ValueError(f"{run} has no system {unknown[0]!r}; it has: {there}")
    if Study.objects.filter(name=link.name).exists():
        raise ValueError(f"the name {link.name!r} is taken; choose another one")
    asked = asked_of(run)
    videos = {key: paths for key, paths in videos_by_input(run, systems).items() if key[0] in asked}
    if len(systems) >= 2 and not videos:
        raise ValueError(f"the systems {', '.join(systems)} have no video of the same input; choose others")
    seats = plan_study(systems, len(videos), link.max_people, pairs_per_person, seed=seed)
    add_link(link, actor)
    study = Study.objects.create(
        name=link.name, run=run, seed=seed, pairs_per_person=pairs_per_person, link=link, created_by=actor
    )
    rows = StudyInput.objects.bulk_create(
        StudyInput(study=study, instance_id=key[0], seed=key[1], **vars(asked[key[0]])) for key in videos
    )
    inputs = dict(zip(videos, rows, strict=True))
    stored = _add_videos(study, {system: known[system] for system in systems}, inputs, videos)
    _add_seats(study, seats, list(videos), stored)
    record_event("make_study", study, actor=actor, run=run.pk, systems=systems)
    return study


@transaction.atomic
def add_seat(study: Study, actor: User | None = None) -> StudySeat:
    """Let one more person in, for one who came and does not finish: they get the share that lacks most.

    Raises:
        ValueError: nothing is missing.
    """
    link = EntryLink.objects.select_for_update(no_key=True).get(pk=study.link_id)
    lacking = study.seats.annotate(missing=Count("tasks", filter=Q(tasks__answer=None))).filter(missing__gt=0)
    share = lacking.exclude(participant=None).order_by("-missing", "number").first()
    if share is None:
        raise ValueError("nobody who came has pairs left; share the address for the places that are free")
    link.max_people += 1
    link.save(update_fields=["max_people"])
    seat = StudySeat.objects.create(study=study, number=study.seats.count() + 1)
    StudyTask.objects.bulk_create(
        StudyTask(seat=seat, position=task.position, pair_id=task.pair_id, first_side=task.first_side)
        for task in share.tasks.all()
    )
    record_event("add_study_seat", seat, actor=actor, study=study.pk)
    return seat


def _add_videos(
    study: Study,
    labels: dict[str, str],
    inputs: dict[Input, StudyInput],
    sources: dict[Input, dict[str, str]],
) -> dict[tuple[Input, str], StudyVideo]:
    videos: dict[tuple[Input, str], StudyVideo] = {}
    for system, label in labels.items():
        # Two systems may be called alike; what people read must tell them apart.
        name = label if list(labels.values()).count(label) == 1 else f"{label} ({system})"
        model = StudyModel.objects.create(study=study, system=system, label=name)
        rows = StudyVideo.objects.bulk_create(
            StudyVideo(model=model, input=inputs[key], source=paths[system]) for key, paths in sources.items()
        )
        videos |= {(key, system): row for key, row in zip(sources, rows, strict=True)}
    return videos


def _add_seats(
    study: Study,
    seats: list[list[Planned]],
    inputs: list[Input],
    videos: dict[tuple[Input, str], StudyVideo],
) -> None:
    keys = sorted({(pair.item, pair.first, pair.second) for plan in seats for pair in plan})
    rows = StudyPair.objects.bulk_create(
        StudyPair(study=study, first=videos[inputs[item], first], second=videos[inputs[item], second])
        for item, first, second in keys
    )
    pairs = dict(zip(keys, rows, strict=True))
    stored = StudySeat.objects.bulk_create(
        StudySeat(study=study, number=number) for number in range(1, len(seats) + 1)
    )
    StudyTask.objects.bulk_create(
        StudyTask(
            seat=seat,
            position=position,
            pair=pairs[planned.item, planned.first, planned.second],
            first_side=Side.LEFT if planned.first_on_left else Side.RIGHT,
        )
        for seat, plan in zip(stored, seats, strict=True)
        for position, planned in enumerate(plan, start=1)
    )
