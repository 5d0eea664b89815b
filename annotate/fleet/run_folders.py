"""A whole run's folder on the machine that works on it: the stored folder itself, or a copy of a bucket's.

A copy is brought down before the command begins, and brought up while it works.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from annotate.fleet.relative_paths import relative_paths
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import Storage, is_partial
from annotate.storage.staging import stage_down
from generator.rundir import COMPLETE, RunDir
from rlhf.training.instances import INSTANCES_FILE

logger = logging.getLogger(__name__)

#: What is of one machine alone, or made anew where it is missing: the first part of a name.
NOT_STORED = ("lock", "cache")
CHECKPOINTS, METRICS, RESULT = "checkpoints", "metrics.jsonl", "result.json"
#: How often what is new is brought up; checkpoints are large, and replaced soon.
STORE_S, STORE_CHECKPOINTS_S = 5.0, 300.0
#: How long the last files of a run are tried to be stored.
PATIENCE_S = 300.0


class WorkFolder(RunDir):
    """A run's folder for its command: the stored folder itself."""

    def store(self, *, at_end: bool = False) -> None:
        """Store what is new."""

    def store_unless_overtaken(self) -> None:
        """Store what a command that was stopped has left."""

    @property
    def num_lines(self) -> int:
        """How many lines of metrics are stored, with the files that they announce."""
        return _metrics_in(self.path).count(b"\n")


class StagedFolder(WorkFolder):
    """A copy of a run's folder.

    It lies as deep below `root` as the run's own below the storage, so that the relative paths of a request
    lead to the same files. Metric lines count once they are stored, after the files that they announce.
    """

    def __init__(self, storage: Storage, root: Path, key: str) -> None:
        super().__init__(root / key)
        self.storage, self.root, self.key = storage, root, key
        self._stored: dict[str, tuple[int, int]] = {}
        self._metrics = b""
        self._store_at = self._store_checkpoints_at = 0.0

    def bring_down(self) -> None:
        """Fetch the folder, and what its request names elsewhere in the storage."""
        stage_down(self.storage, self.key, self.path)
        self._stored, self._metrics = self._files(), _metrics_in(self.path)
        for path in relative_paths(self.read_request()):
            self._fetch(os.path.normpath(f"{self.key}/{path}"))

    def _fetch(self, key: str) -> None:
        """An object, or a folder; of a training set also what its instances name."""
        if key.startswith("../"):
            return  # outside of the storage
        place = self.root / key
        try:
            with self.storage.local(key) as source:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place)
        except FileNotFoundError:
            stage_down(self.storage, key, place)
            if (place / INSTANCES_FILE).is_file():
                lines = (place / INSTANCES_FILE).read_text(encoding="utf-8").splitlines()
                for path in {path for line in lines for path in relative_paths(json.loads(line))}:
                    self._fetch(os.path.normpath(f"{key}/{path}"))

    @property
    def num_lines(self) -> int:
        return self._metrics.count(b"\n")

    def store(self, *, at_end: bool = False) -> None:
        """Bring up what is new, now and then; a storage that fails is tried again.

        Raises:
            OSError: it fails for minutes `at_end`.
        """
        deadline = time.monotonic() + PATIENCE_S
        while at_end or time.monotonic() >= self._store_at:
            self._store_at = time.monotonic() + STORE_S
            try:
                self._store(with_checkpoints=at_end or time.monotonic() >= self._store_checkpoints_at)
                return
            except OSError as error:
                logger.warning("%s is not stored yet: %s", self.key, error)
                if not at_end:
                    return
                if time.monotonic() > deadline:
                    raise
            time.sleep(STORE_S)

    def store_unless_overtaken(self) -> None:
        """A worker that was taken for lost leaves alone what another one has stored since."""
        with contextlib.suppress(FileNotFoundError):
            if b"".join(self.storage.stream(f"{self.key}/{METRICS}")) != self._metrics:
                return
        self.store(at_end=True)

    def _store(self, *, with_checkpoints: bool) -> None:
        os.utime(self.root)  # A workspace that nobody touches counts as left behind.
        # Before anything is listed: what these lines announce is among it.
        metrics, files = _metrics_in(self.path), self._files()
        # A checkpoint may be taken up once its last file is here, and not while it is removed.
        for name in sorted(sorted(files.keys() - {RESULT}), key=_is_mark):
            if with_checkpoints or not _is_checkpoint(name):
                self._put(name, files[name])
        if metrics != self._metrics:
            self.storage.put(f"{self.key}/{METRICS}", metrics)
            self._metrics = metrics
        if with_checkpoints:
            gone = sorted(self._stored.keys() - files.keys(), key=_is_mark, reverse=True)
            self.storage.remove(f"{self.key}/{name}" for name in gone)
            self._stored = {name: facts for name, facts in self._stored.items() if name in files}
            self._store_checkpoints_at = time.monotonic() + STORE_CHECKPOINTS_S
        if RESULT in files:
            self._put(RESULT, files[RESULT])

    def _put(self, name: str, facts: tuple[int, int]) -> None:
        """Store a file as it is at one moment, unless it is stored: it may grow, or go, meanwhile."""
        if self._stored.get(name) == facts:
            return
        moment = self.root / ".moment"
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.path / name, moment)
            self.storage.put(f"{self.key}/{name}", moment)
            self._stored[name] = facts

    def _files(self) -> dict[str, tuple[int, int]]:
        """What belongs into the storage, but for the metrics: name -> size and time of the last change."""
        found = {}
        for place in self.path.rglob("*"):
            name = place.relative_to(self.path)
            if name.parts[0] not in (*NOT_STORED, METRICS) and not is_partial(str(name)):
                with contextlib.suppress(FileNotFoundError):
                    if place.is_file():
                        found[str(name)] = (place.stat().st_size, place.stat().st_mtime_ns)
        return found


def _metrics_in(folder: Path) -> bytes:
    try:
        return (folder / METRICS).read_bytes()
    except FileNotFoundError:
        return b""


def _is_mark(name: str) -> bool:
    return name.endswith(f"/{COMPLETE}")


def _is_checkpoint(name: str) -> bool:
    return name.startswith(f"{CHECKPOINTS}/")


@contextlib.contextmanager
def work_folder(storage: Storage, key: str) -> Iterator[WorkFolder]:
    """The folder of a run for its command, while the context lasts.

    Raises:
        OSError: the storage fails.
    """
    if isinstance(storage, FolderStorage):
        yield WorkFolder(storage.root / key)
        return
    with storage.workspace() as root:
        folder = StagedFolder(storage, root, key)
        folder.bring_down()
        yield folder
