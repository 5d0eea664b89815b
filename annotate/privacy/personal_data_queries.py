"""Where one person is: their files, and the records that name them. `models/personal_data.py` is the list."""

from __future__ import annotations

import json
import os
import re
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
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
from annotate.privacy.personal_file_queries import FILES, StoredFiles, evaluation_files, instance_of, stem_of
from annotate.privacy.traces import Traces
from annotate.storage.interface import StorageError
from annotate.storage.opening import site_storage
from generator.frozen_set import MEDIA_FOLDER
from rlhf.evaluation.benchmark.set import TABLES, read_tables

#: A reference's own folder; in any other, files of several may lie.
_OWN_FOLDER = re.compile(r"references/[0-9a-f]{32}")
#: Records in the folder of a run, whole or half-written.
_RECORDS = (".json", ".jsonl", ".txt", ".tmp")


@dataclass
class Located:
    """One person, and everything that leads to their files.

    Read before their rows go: afterwards nothing leads there any more.
    """

    group: IdentityGroup

    @cached_property
    def stored(self) -> StoredFiles:
        return StoredFiles()

    @cached_property
    def rows(self) -> dict[str, int]:
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
    def reference_folders(self) -> set[str]:
        paths = Reference.objects.filter(group=self.group).values_list("path", flat=True)
        parents = {str(Path(path).parent) for path in paths}
        return {parent for parent in parents if _OWN_FOLDER.fullmatch(parent)}

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
        hashes = {sha256 for row in mine.values_list("sha256", "source_sha256") for sha256 in row}
        hashes |= set(crops.values_list("sha256", flat=True)) | {sha256 for _, _, sha256 in self.samples}
        return hashes - set(shared) - set(shown) - {""}

    @cached_property
    def exports(self) -> list[Export]:
        exports = Export.objects.filter(pairs__pair__in=pairs_of(self.group).values("pk"))
        return list(exports.distinct().select_related("round").order_by("pk"))

    @cached_property
    def export_folders(self) -> list[str]:
        named = [folder for export in self.exports for folder in (export.folder, export.cache_folder)]
        return named + sorted(self._unnamed_exports)

    @cached_property
    def _unnamed_exports(self) -> set[str]:
        """Folders of sets with their files that no row names: their writer died, or is not there yet."""
        rounds = set(pairs_of(self.group).order_by().values_list("round", flat=True))
        named = set(Export.objects.filter(round__in=rounds).values_list("folder", flat=True))
        files = [PurePath(path) for key in rounds for path in self.stored.below(f"exports/round-{key}")]
        theirs = {str(PurePath(*file.parts[:3])) for file in files if stem_of(file) in self.hashes}
        return theirs - named

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
                clips = map(PurePath, self.stored.below(f"{run.folder}/samples"))
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
        theirs = [item.pk for item in unnamed.iterator() if named.search(json.dumps(item.sources))]
        wanted = Q(group=self.group) | Q(pk__in=theirs)
        for folder, ids in self.evaluated.items():
            wanted |= Q(study__run__folder=folder, instance_id__in=ids)
        return list(StudyInput.objects.filter(wanted))

    @cached_property
    def run_folders(self) -> dict[str, Run | None]:
        """Every folder of a run, also one whose row never came."""
        rows = {run.folder: run for run in Run.objects.select_related("round")}
        parts = (path.split("/") for path in self.stored.below("runs"))
        folders = {"/".join(names[:3]) for names in parts if len(names) > 3}
        return {folder: rows.get(folder) for folder in sorted(folders)}

    @cached_property
    def prompt_runs(self) -> list[str]:
        """Folders of runs in which models examined media of the person."""
        folders = (folder for folder in self.run_folders if _stage(folder) == Stage.PROMPTS)
        return [folder for folder in folders if self.group.pk in people_asked_about(folder)]

    @cached_property
    def evaluated(self) -> dict[str, frozenset[str]]:
        """Folders of evaluations that asked for this person, and under which ids of instances."""
        own = frozenset(str(pk) for pk in self.group.instances.values_list("pk", flat=True))
        folders = (folder for folder in self.run_folders if _stage(folder) == Stage.EVALUATE)
        return {folder: ids for folder in folders if (ids := self._ids_in(folder, own))}

    def _ids_in(self, folder: str, own: frozenset[str]) -> frozenset[str]:
        request = _json(f"{folder}/request.json")
        named = request.get("set", {})
        if "path" not in named:
            asked = {str(instance.get("instance_id")) for instance in request.get("instances", [])}
            return own & (asked | {instance_of(path) for path in evaluation_files(folder, self.stored)})
        ids = {
            str(video["instance_id"])
            for video in self._result(folder).get("videos", [])
            if video.get("identity") in self.identities
        }
        return frozenset(ids | self._ids_in_set(os.path.normpath(os.path.join(folder, named["path"]))))

    def _result(self, folder: str) -> dict[str, Any]:
        run = self.run_folders[folder]
        return (run.result if run else None) or _json(f"{folder}/result.json")

    def _ids_in_set(self, path: str) -> set[str]:
        """By a path from the storage, which may lead out of it."""
        is_stored = not path.startswith(("/", "../"))
        place = nullcontext(settings.STORAGE_ROOT / path)
        try:
            with site_storage().local_folder(path, TABLES) if is_stored else place as folder:
                benchmark = read_tables(folder)
        except StorageError:
            raise  # It may hold them, so nothing may be said as if it did not.
        except (OSError, ValueError):
            return set()  # moved or erased since; what it was asked for stands in the run's result
        return {item.instance_id for item in benchmark.instances if item.identity in self.identities}

    def traces_in(self, folder: str) -> Traces:
        """By what the records of a run name this person."""
        texts = (
            {Path(folder).name for folder in self.reference_folders} | self.hashes | {*self.identities[1:]}
        )
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
        records: dict[str, Traces] = {}
        for folder in self.run_folders.keys() - set(self.prompt_runs):
            traces = self.traces_in(folder)
            for path in self.stored.below(folder):
                is_record = path.count("/") == 3 and Path(path).suffix in _RECORDS
                if is_record and traces.struck_file(path) is not None:
                    records[path] = traces
        return dict(sorted(records.items()))

    @cached_property
    def sets(self) -> list[str]:
        """Benchmark sets, datasets and whatever else is frozen in the storage with a file of theirs."""
        return sorted(_sets_with(self.hashes, self.stored))

    @property
    def sets_elsewhere(self) -> list[str]:
        """Those that no row speaks of; an export is withdrawn."""
        return [path for path in self.sets if not path.startswith("exports/")]

    @cached_property
    def files(self) -> list[str]:
        """Every file of theirs that is there, by the places of the list."""
        paths = {path for finder in FILES.values() for path in finder(self)}
        return sorted(path for path in paths if path in self.stored)

    @cached_property
    def folders(self) -> list[str]:
        """Folders that go as a whole."""
        folders = {*self.reference_folders, *self.export_folders, *self.caches, *self.prompt_runs, *self.sets}
        folders |= {*self.training_folders}
        return sorted(path for path in folders if self.stored.below(path))

    @cached_property
    def runs_at_work(self) -> list[Run]:
        """Runs under way that read this person's files, or write more of them."""
        folders = {*self.prompt_runs, *self.evaluated, *(str(Path(path).parent) for path in self.records)}
        runs = {run for export in self.exports for run in export.runs.all()}
        runs |= {run for training_set in self.training_sets for run in training_set.runs.all()}
        runs |= {run for folder in folders if (run := self.run_folders[folder])}
        return sorted((run for run in runs if run.is_live), key=lambda run: run.pk)

    def mentions(self) -> dict[str, int]:
        """Where people wrote the name in texts about something else, and how often."""
        name = rf"\m{re.escape(self.group.name)}\M"
        texts = [
            (apps.get_model("annotate", table)._default_manager.all(), column)
            for table, columns in COLUMNS.items()
            for column, holds in columns.items()
            if holds is Text.FREE
        ]
        for table, column in NOTES:
            theirs = ROWS[table](self.group)
            texts.append((theirs.model._default_manager.exclude(pk__in=theirs.values("pk")), column))
        counts = {
            f"{rows.model.__name__}.{column}": rows.annotate(as_text=Cast(column, TextField()))
            .filter(as_text__iregex=name)
            .count()
            for rows, column in texts
        }
        return {column: count for column, count in counts.items() if count}


def people_asked_about(folder: str) -> set[int]:
    """The ids of the people that a run of prompts is about; nobody once its folder is gone."""
    return {row["group"] for row in _json(f"{folder}/plans.json").values()}


def _sets_with(hashes: set[str], stored: StoredFiles) -> set[str]:
    """Frozen sets name their media by content, wherever in the storage they were made."""
    places = (PurePath(path) for path in stored.all)
    return {
        str(place.parent.parent)
        for place in places
        if place.parent.name == MEDIA_FOLDER and stem_of(place) in hashes and "checkpoints" not in place.parts
    }


def _json(path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(b"".join(site_storage().stream(path))))
    except FileNotFoundError:
        return {}


def _stage(folder: str) -> str:
    return Path(folder).name.rpartition("-")[0]
