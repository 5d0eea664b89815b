"""Where one person is: their files, and the records that name them. `models/personal_data.py` is the list."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from annotate.models import (
    Export,
    IdentityGroup,
    InstanceReference,
    JudgmentFile,
    Reference,
    Run,
    RunStatus,
    Stage,
    StudyInput,
    TrainingSet,
    VideoSample,
)
from annotate.models.personal_data import COLUMNS, NOTES, ROWS, Text, pairs_of, samples_of
from annotate.privacy.personal_file_queries import FILES, instance_of, looked_at, relative, stem_of
from annotate.privacy.traces import Traces
from generator.frozen_set import MEDIA_FOLDER
from rlhf.evaluation.benchmark.set import read_benchmark

#: A reference's own folder; in any other, files of several may lie.
_ROOM = re.compile(r"references/[0-9a-f]{32}")
#: Records in the folder of a run, whole or half-written.
_RECORDS = (".json", ".jsonl", ".txt", ".tmp")


class Located:
    """One person, and everything that leads to their files.

    Read before their rows go: afterwards nothing leads there any more.
    """

    def __init__(self, group: IdentityGroup) -> None:
        self.group = group

    @cached_property
    def rows(self) -> dict[str, int]:
        """How many rows of each table are about this person."""
        return {name: rows(self.group).count() for name, rows in ROWS.items()}

    @cached_property
    def samples(self) -> list[tuple[int, str, str]]:
        return list(samples_of(self.group).values_list("pk", "path", "sha256"))

    @cached_property
    def pairs(self) -> set[str]:
        return {str(pk) for pk in pairs_of(self.group).values_list("pk", flat=True)}

    @cached_property
    def identities(self) -> tuple[str, ...]:
        """As requests, and sets, call them."""
        named = f"{self.group.source}/{self.group.name}"  # by sets from before pseudonyms
        return (f"person-{self.group.pk}", named, self.group.pseudonym)

    @cached_property
    def rooms(self) -> set[str]:
        paths = Reference.objects.filter(group=self.group).values_list("path", flat=True)
        parents = {str(Path(path).parent) for path in paths}
        return {parent for parent in parents if _ROOM.fullmatch(parent)}

    @cached_property
    def hashes(self) -> set[str]:
        """Of every file of theirs, but such as others have, too."""
        mine = Reference.objects.filter(group=self.group)
        crops = InstanceReference.objects.filter(reference__group=self.group).exclude(sha256="")
        theirs = Reference.objects.exclude(group=self.group)
        shared = theirs.filter(sha256__in=mine.values("sha256")).values_list("sha256", flat=True)
        videos = samples_of(self.group)
        others = VideoSample.objects.exclude(pk__in=videos.values("pk")).exclude(sha256="")
        shown = others.filter(sha256__in=videos.values("sha256")).values_list("sha256", flat=True)
        found = {sha256 for row in mine.values_list("sha256", "source_sha256") for sha256 in row}
        found |= set(crops.values_list("sha256", flat=True)) | {sha256 for _, _, sha256 in self.samples}
        return found - set(shared) - set(shown) - {""}

    @cached_property
    def exports(self) -> list[Export]:
        found = Export.objects.filter(pairs__pair__in=pairs_of(self.group).values("pk"))
        return list(found.distinct().select_related("round").order_by("pk"))

    @cached_property
    def export_folders(self) -> list[str]:
        return [folder for export in self.exports for folder in (export.folder, export.cache_folder)]

    @cached_property
    def training_sets(self) -> list[TrainingSet]:
        """Sets of instances with targets that hold a file of theirs."""
        return list(self.group.training_sets.order_by("pk"))

    @cached_property
    def training_folders(self) -> list[str]:
        """Of sets that were frozen here, and of what trainings encoded of any."""
        own = [one.folder for one in self.training_sets if not one.is_outside]
        return own + [one.cache_folder for one in self.training_sets]

    @cached_property
    def own_clips(self) -> dict[str, set[str]]:
        """Folders of runs of supervised training, and which of their clips may show this person.

        A folder that was read names its instances itself, so all clips of its runs go.
        """
        own = {str(pk) for pk in self.group.instances.values_list("pk", flat=True)}
        found = {}
        for one in self.training_sets:
            for run in one.runs.all():
                clips = (settings.STORAGE_ROOT / run.folder).glob("samples/*/*")
                found[run.folder] = {stem_of(path) for path in clips} if one.is_outside else own
        return found

    @cached_property
    def caches(self) -> list[str]:
        """What trainings encoded in their own folders."""
        return [f"{run.folder}/cache" for export in self.exports for run in export.runs.all()]

    @cached_property
    def judgment_files(self) -> QuerySet[JudgmentFile]:
        """Files that hold votes on this person, or will: those of all rounds, and of theirs."""
        rounds = pairs_of(self.group).order_by().values("round")
        return JudgmentFile.objects.filter(Q(round=None) | Q(round__in=rounds)).exclude(
            status__in=[RunStatus.CANCELLED, RunStatus.FAILED]
        )

    @cached_property
    def study_inputs(self) -> list[StudyInput]:
        """Also those of sets whose person was not known when the study was made."""
        named = re.compile("|".join(sorted(self.hashes)) or "(?!)")
        unnamed = StudyInput.objects.filter(group=None)
        found = [item.pk for item in unnamed.iterator() if named.search(json.dumps(item.sources))]
        of_runs = [pk for folder, ids in self.evaluated.items() for pk in _inputs_of(folder, ids)]
        return list(StudyInput.objects.filter(Q(group=self.group) | Q(pk__in=[*found, *of_runs])))

    @cached_property
    def run_folders(self) -> dict[str, Run | None]:
        """Every folder of a run, also one whose row never came."""
        rows = {run.folder: run for run in Run.objects.select_related("round")}
        places = (relative(path) for path in settings.STORAGE_ROOT.glob("runs/*/*") if path.is_dir())
        return {place: rows.get(place) for place in sorted(places)}

    @cached_property
    def prompt_runs(self) -> list[str]:
        """Folders of runs in which models looked at the person."""
        found = (folder for folder in self.run_folders if _stage(folder) == Stage.PROMPTS)
        return [
            folder for folder in found if self.group.pk in people_asked_about(settings.STORAGE_ROOT / folder)
        ]

    @cached_property
    def evaluated(self) -> dict[str, frozenset[str]]:
        """Folders of evaluations that asked for this person, and under which ids of instances."""
        own = frozenset(str(pk) for pk in self.group.instances.values_list("pk", flat=True))
        folders = (folder for folder in self.run_folders if _stage(folder) == Stage.EVALUATE)
        found = {folder: self._ids_in(settings.STORAGE_ROOT / folder, own) for folder in folders}
        return {folder: ids for folder, ids in found.items() if ids}

    def _ids_in(self, folder: Path, own: frozenset[str]) -> frozenset[str]:
        request = _json(folder / "request.json")
        named = request.get("set", {})
        if "path" not in named:
            asked = {str(one.get("instance_id")) for one in request.get("instances", [])}
            return own & (asked | {instance_of(path) for path in looked_at(folder)})
        ids = {
            str(video["instance_id"])
            for video in self._result(folder).get("videos", [])
            if video.get("identity") in self.identities
        }
        return frozenset(ids | self._ids_in_set((folder / named["path"]).resolve()))

    def _result(self, folder: Path) -> dict[str, Any]:
        run = self.run_folders[relative(folder)]
        return (run.result if run else None) or _json(folder / "result.json")

    def _ids_in_set(self, folder: Path) -> set[str]:
        try:
            found = read_benchmark(folder, check_media=False)
        except (OSError, ValueError):
            return set()  # moved or erased since; what it was asked for stands in the run's result
        return {one.instance_id for one in found.instances if one.identity in self.identities}

    def traces_in(self, folder: str) -> Traces:
        """By what the records of a run name this person."""
        texts = {Path(room).name for room in self.rooms} | self.hashes | {*self.identities[1:]}
        samples = [str(pk) for pk, _, _ in self.samples] if _stage(folder) == Stage.SAMPLE else []
        return Traces(
            texts=tuple(sorted(texts)),
            identities=self.identities,
            instances=tuple(sorted(self.evaluated.get(folder, ()))),
            samples=tuple(samples),
        )

    @cached_property
    def records(self) -> dict[str, Traces]:
        """Files of runs that stay, without what they say of this person."""
        found: dict[str, Traces] = {}
        for folder in self.run_folders.keys() - set(self.prompt_runs):
            traces = self.traces_in(folder)
            for path in _files(settings.STORAGE_ROOT / folder):
                if path.suffix in _RECORDS and traces.struck(path) is not None:
                    found[relative(path)] = traces
        return dict(sorted(found.items()))

    @cached_property
    def sets(self) -> list[str]:
        """Benchmark sets, datasets and whatever else is frozen in the storage with a file of theirs."""
        return sorted(_sets_with(self.hashes))

    @property
    def sets_elsewhere(self) -> list[str]:
        """Those that no row speaks of; an export is withdrawn."""
        rooms = {export.folder for export in self.exports}
        return [path for path in self.sets if path not in rooms and not path.startswith("exports/")]

    @cached_property
    def files(self) -> list[str]:
        """Every file of theirs that is there, by the places of the list."""
        found = {path for finder in FILES.values() for path in finder(self)}
        return sorted(path for path in found if (settings.STORAGE_ROOT / path).is_file())

    @cached_property
    def folders(self) -> list[str]:
        """Folders that go as a whole."""
        found = {*self.rooms, *self.export_folders, *self.caches, *self.prompt_runs, *self.sets}
        found |= {*self.training_folders}
        return sorted(path for path in found if (settings.STORAGE_ROOT / path).is_dir())

    @cached_property
    def runs_at_work(self) -> list[Run]:
        """Runs under way that read this person's files, or write more of them."""
        folders = {*self.prompt_runs, *self.evaluated, *(str(Path(path).parent) for path in self.records)}
        trained = {run for export in self.exports for run in export.runs.all()}
        trained |= {run for one in self.training_sets for run in one.runs.all()}
        found = trained | {run for folder in folders if (run := self.run_folders[folder])}
        return sorted((run for run in found if run.is_live), key=lambda run: run.pk)

    def mentions(self) -> dict[str, int]:
        """Where people wrote the name in texts about something else, and how often."""
        name = rf"\m{re.escape(self.group.name)}\M"
        places = [
            (apps.get_model("annotate", table)._default_manager.all(), column)
            for table, columns in COLUMNS.items()
            for column, holds in columns.items()
            if holds is Text.FREE
        ]
        for rows, column in NOTES:
            theirs = ROWS[rows](self.group)
            places.append((theirs.model._default_manager.exclude(pk__in=theirs.values("pk")), column))
        found = {}
        for texts, column in places:
            as_text = texts.annotate(as_text=Cast(column, TextField()))
            if count := as_text.filter(as_text__iregex=name).count():
                found[f"{texts.model.__name__}.{column}"] = count
        return found


def _inputs_of(folder: str, ids: frozenset[str]) -> Iterator[int]:
    inputs = StudyInput.objects.filter(study__run__folder=folder).values_list("pk", "instance_id")
    yield from (pk for pk, instance_id in inputs if instance_id in ids)


def people_asked_about(folder: Path) -> set[int]:
    """The ids of the people that a run of prompts is about; nobody once its folder is gone."""
    return {row["group"] for row in _json(folder / "plans.json").values()}


def _sets_with(hashes: set[str]) -> Iterator[str]:
    """Frozen sets name their media by content, wherever in the storage they were made."""
    for place, folders, files in os.walk(settings.STORAGE_ROOT):
        if Path(place).name == MEDIA_FOLDER and any(stem_of(Path(name)) in hashes for name in files):
            yield relative(Path(place).parent)
        folders[:] = [name for name in folders if name != "checkpoints"]


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except FileNotFoundError:
        return []


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _stage(folder: str) -> str:
    return Path(folder).name.rpartition("-")[0]
