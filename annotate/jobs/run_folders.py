"""Folders of runs, as the site makes and reads them, wherever the storage keeps them."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings

from annotate.fleet.run_folders import METRICS, RESULT
from annotate.storage.address import FolderAddress
from annotate.storage.opening import site_storage
from annotate.storage.staging import stage_up
from generator.parts import UNMADE
from generator.rundir import RunDir, complete_lines

#: What a run is asked for, and what it says once; metrics and the log grow, and are read by their keys.
RECORDS = ("request.json", "plans.json", "missing.json", "result.json")


def keep_new_folder(folder: RunDir, key: str) -> None:
    """Store a folder that was made for a new run."""
    if not isinstance(settings.STORAGE, FolderAddress):
        stage_up(site_storage(), folder.path, key, last=RECORDS[0])
        shutil.rmtree(folder.path)


def store_result(folder: str, result: Mapping[str, Any]) -> None:
    """Mark a run complete that no command works in any more."""
    with site_storage().workspace() as workspace:
        RunDir(workspace).write_result(result)
        site_storage().put(f"{folder}/{RESULT}", workspace / RESULT)


def store_unmade(folder: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Tell a run's command what no part of it could make."""
    site_storage().put(f"{folder}/{UNMADE}", json.dumps(records).encode())


@contextlib.contextmanager
def stored_records(folder: str) -> Iterator[RunDir]:
    """`RECORDS` of a run, to read while the context lasts."""
    with site_storage().local_folder(folder, RECORDS) as place:
        yield RunDir(place)


def stored_metrics(folder: str, start: int) -> list[dict[str, Any]]:
    """The complete lines of a run's metrics from line `start` on."""
    try:
        return complete_lines(b"".join(site_storage().stream(f"{folder}/{METRICS}")), start)
    except FileNotFoundError:
        return []
