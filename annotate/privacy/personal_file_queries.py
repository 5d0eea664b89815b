"""The files of one person, by the places of `models/personal_data.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from annotate.models import InstanceReference, Reference, StudyVideo
from annotate.models.personal_data import pairs_of, samples_of
from generator.curation.annotation import ANNOTATION_NAME
from rlhf.evaluation.report.tables import REPORT_FILE

if TYPE_CHECKING:
    from annotate.privacy.personal_data_queries import Located


def relative(path: Path) -> str:
    return str(path.relative_to(settings.STORAGE_ROOT))


def stem_of(path: Path) -> str:
    """The name that a file has, or will have: a half-written one begins with a dot and ends in more."""
    return path.name.removeprefix(".").partition(".")[0]


def looked_at(folder: Path) -> list[Path]:
    """Videos of an evaluation, and what metrics said of each."""
    return [path for path in [*folder.glob("*/*"), *folder.glob("scores/*/*")] if path.is_file()]


def instance_of(path: Path) -> str:
    """Which instance a file of an evaluation is about: they are called `<instance>-<seed>`."""
    return stem_of(path).rpartition("-")[0]


def _references(person: Located) -> Iterator[str]:
    paths = Reference.objects.filter(group=person.group).values_list("path", "poster")
    crops = InstanceReference.objects.filter(reference__group=person.group).exclude(path="")
    for path, poster in [*paths, *crops.values_list("path", "poster")]:
        yield from (path, poster, str(Path(path).with_name(ANNOTATION_NAME)))
    for room in person.rooms:
        yield from map(relative, (settings.STORAGE_ROOT / room).rglob("*"))


def _videos(person: Located) -> Iterator[str]:
    yield from (path for _, path, _ in person.samples if path)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named(settings.STORAGE_ROOT.glob("runs/*/sample-*/samples/*"), ids)


def _display_copies(person: Located) -> Iterator[str]:
    shown = samples_of(person.group).exclude(shown_path="")
    yield from shown.values_list("shown_path", flat=True)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named(settings.STORAGE_ROOT.glob("runs/*/sample-*/shown/*"), ids)


def _gold(person: Located) -> Iterator[str]:
    """Both copies of a pair that shows the person: it cannot be asked any more."""
    gold = pairs_of(person.group).exclude(gold=None).values_list("first__path", "second__path")
    yield from (path for row in gold for path in row if path)


def _clips(person: Located) -> Iterator[str]:
    yield from _named(settings.STORAGE_ROOT.glob("runs/*/dpo-*/samples/*/*"), person.pairs)
    for folder, names in person.own_clips.items():
        yield from _named((settings.STORAGE_ROOT / folder).glob("samples/*/*"), names)


def _evaluations(person: Located) -> Iterator[str]:
    for place, ids in person.evaluated.items():
        for path in looked_at(settings.STORAGE_ROOT / place):
            if instance_of(path) in ids:
                yield relative(path)


def _reports(person: Located) -> Iterator[str]:
    yield from (f"{folder}/{REPORT_FILE}" for folder in person.evaluated)


def _studies(person: Located) -> Iterator[str]:
    inputs = [shown.pk for shown in person.study_inputs]
    yield from StudyVideo.objects.filter(input__in=inputs).exclude(path="").values_list("path", flat=True)
    yield from (
        item[part] for shown in person.study_inputs for item in shown.shown for part in ("path", "poster")
    )


def _judgment_files(person: Located) -> Iterator[str]:
    yield from person.judgment_files.exclude(path="").values_list("path", flat=True)
    for file in person.judgment_files:
        yield from map(relative, (settings.STORAGE_ROOT / "judgments").glob(f"pending-{file.pk}-*"))


def _in_folders(select: Callable[[Located], list[str]]) -> Callable[[Located], Iterator[str]]:
    def finder(person: Located) -> Iterator[str]:
        for folder in select(person):
            yield from map(relative, (settings.STORAGE_ROOT / folder).rglob("*"))

    return finder


#: How the files of each place are found, by its name; run records are struck, see `Located.records`.
FILES: Mapping[str, Callable[[Located], Iterator[str]]] = {
    "references": _references,
    "videos": _videos,
    "display copies": _display_copies,
    "clips of trainings": _clips,
    "caches of trainings": _in_folders(lambda person: person.caches),
    "evaluations": _evaluations,
    "reports": _reports,
    "prompt runs": _in_folders(lambda person: person.prompt_runs),
    "gold": _gold,
    "studies": _studies,
    "exports": _in_folders(lambda person: person.export_folders),
    "training sets": _in_folders(lambda person: person.training_folders),
    "judgment files": _judgment_files,
    "sets": _in_folders(lambda person: person.sets),
}


def _named(paths: Iterator[Path], ids: set[str]) -> Iterator[str]:
    yield from (relative(path) for path in paths if stem_of(path) in ids)
