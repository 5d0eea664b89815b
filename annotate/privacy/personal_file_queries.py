"""The files of one person, by the places of `models/personal_data.py`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from annotate.models import InstanceReference, Reference, StudyVideo
from annotate.models.personal_data import pairs_of, samples_of
from annotate.storage.opening import site_storage
from generator.curation.annotation import ANNOTATION_NAME
from rlhf.evaluation.report.tables import REPORT_FILE, SHEET_FILE

if TYPE_CHECKING:
    from annotate.privacy.personal_data_queries import Located


class StoredFiles:
    """What is in the storage now, also half-written, by its folders."""

    def __init__(self) -> None:
        self.all = sorted(item.key for item in site_storage().list(with_partial=True))

    def below(self, folder: str) -> list[str]:
        """The files in a folder, at any depth."""
        start = bisect_left(self.all, f"{folder}/")
        return self.all[start : bisect_left(self.all, f"{folder}0", start)]  # "0" comes after "/"

    def __contains__(self, path: str) -> bool:
        place = bisect_left(self.all, path)
        return self.all[place : place + 1] == [path]


def stem_of(path: PurePath) -> str:
    """The name that a file has, or will have: a half-written one begins with a dot and ends in more."""
    return path.name.removeprefix(".").partition(".")[0]


def evaluation_files(folder: str, stored: StoredFiles) -> list[str]:
    """Videos of an evaluation, and what metrics said of each."""
    found = []
    for path in stored.below(folder):
        depth = path.removeprefix(f"{folder}/").split("/")
        if len(depth) == 2 or (len(depth) == 3 and depth[0] == "scores"):
            found.append(path)
    return found


def instance_of(path: str) -> str:
    """Which instance a file of an evaluation is about: they are called `<instance>-<seed>`."""
    return stem_of(PurePath(path)).rpartition("-")[0]


def _references(person: Located) -> Iterator[str]:
    paths = Reference.objects.filter(group=person.group).values_list("path", "poster")
    crops = InstanceReference.objects.filter(reference__group=person.group).exclude(path="")
    for path, poster in [*paths, *crops.values_list("path", "poster")]:
        yield from (path, poster, str(Path(path).with_name(ANNOTATION_NAME)))
    yield from _below(person, person.reference_folders)


def _videos(person: Located) -> Iterator[str]:
    yield from (path for _, path, _ in person.samples if path)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named(person, "sample-*/samples/*", ids)


def _display_copies(person: Located) -> Iterator[str]:
    shown = samples_of(person.group).exclude(shown_path="")
    yield from shown.values_list("shown_path", flat=True)
    ids = {str(pk) for pk, _, _ in person.samples}
    yield from _named(person, "sample-*/shown/*", ids)


def _gold(person: Located) -> Iterator[str]:
    """Both copies of a pair that shows the person: it cannot be asked any more."""
    gold = pairs_of(person.group).exclude(gold=None).values_list("first__path", "second__path")
    yield from (path for row in gold for path in row if path)


def _clips(person: Located) -> Iterator[str]:
    yield from _named(person, "dpo-*/samples/*/*", person.pairs)
    for folder, names in person.own_clips.items():
        yield from (path for path in person.stored.below(f"{folder}/samples") if Path(path).stem in names)


def _evaluations(person: Located) -> Iterator[str]:
    for folder, ids in person.evaluated.items():
        yield from (path for path in evaluation_files(folder, person.stored) if instance_of(path) in ids)


def _studies(person: Located) -> Iterator[str]:
    inputs = [shown.pk for shown in person.study_inputs]
    yield from StudyVideo.objects.filter(input__in=inputs).exclude(path="").values_list("path", flat=True)
    yield from (
        item[part] for shown in person.study_inputs for item in shown.shown for part in ("path", "poster")
    )


def _judgment_files(person: Located) -> Iterator[str]:
    yield from person.judgment_files.exclude(path="").values_list("path", flat=True)
    for file in person.judgment_files:
        paths = map(PurePath, person.stored.below("judgments"))
        yield from (str(path) for path in paths if path.match(f"*-{file.pk}-*"))


def _below(person: Located, folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        yield from person.stored.below(folder)


#: How the files of each place are found, by its name; run records are struck, see `Located.records`.
FILES: Mapping[str, Callable[[Located], Iterator[str]]] = {
    "references": _references,
    "videos": _videos,
    "display copies": _display_copies,
    "clips of trainings": _clips,
    "caches of trainings": lambda person: _below(person, person.caches),
    "evaluations": _evaluations,
    "reports": lambda person: (
        f"{folder}/{file}" for folder in person.evaluated for file in (REPORT_FILE, SHEET_FILE)
    ),
    "prompt runs": lambda person: _below(person, person.prompt_runs),
    "gold": _gold,
    "studies": _studies,
    "exports": lambda person: _below(person, person.export_folders),
    "training sets": lambda person: _below(person, person.training_folders),
    "judgment files": _judgment_files,
    "sets": lambda person: _below(person, person.sets),
}


def _named(person: Located, pattern: str, ids: set[str]) -> Iterator[str]:
    """Files of runs that are named by one of these ids."""
    paths = map(PurePath, person.stored.below("runs"))
    return (str(path) for path in paths if path.match(f"runs/*/{pattern}") and stem_of(path) in ids)
