"""The files of one person, by the places of `models/personal_data.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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


def evaluation_files(folder: Path) -> list[Path]:
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
    yield from _below(person.reference_folders)


def _videos(person: Located) -> Iterator[str]:
    yield from (path for _, path, _ in person.samples if path)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named("runs/*/sample-*/samples/*", ids)


def _display_copies(person: Located) -> Iterator[str]:
    shown = samples_of(person.group).exclude(shown_path="")
    yield from shown.values_list("shown_path", flat=True)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named("runs/*/sample-*/shown/*", ids)


def _gold(person: Located) -> Iterator[str]:
    """Both copies of a pair that shows the person: it cannot be asked any more."""
    gold = pairs_of(person.group).exclude(gold=None).values_list("first__path", "second__path")
    yield from (path for row in gold for path in row if path)


def _evaluations(person: Located) -> Iterator[str]:
    for folder, ids in person.evaluated.items():
        for path in evaluation_files(settings.STORAGE_ROOT / folder):
            if instance_of(path) in ids:
                yield relative(path)


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


def _below(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        yield from map(relative, (settings.STORAGE_ROOT / folder).rglob("*"))


#: How the files of each place are found, by its name; run records are struck, see `Located.records`.
FILES: Mapping[str, Callable[[Located], Iterator[str]]] = {
    "references": _references,
    "videos": _videos,
    "display copies": _display_copies,
    "clips of trainings": lambda person: _named("runs/*/dpo-*/samples/*/*", person.pairs),
    "caches of trainings": lambda person: _below(person.caches),
    "evaluations": _evaluations,
    "reports": lambda person: (f"{folder}/{REPORT_FILE}" for folder in person.evaluated),
    "prompt runs": lambda person: _below(person.prompt_runs),
    "gold": _gold,
    "studies": _studies,
    "exports": lambda person: _below(person.export_folders),
    "judgment files": _judgment_files,
    "sets": lambda person: _below(person.sets),
}


def _named(pattern: str, ids: set[str]) -> Iterator[str]:
    return (relative(path) for path in settings.STORAGE_ROOT.glob(pattern) if stem_of(path) in ids)
