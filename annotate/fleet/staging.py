"""A shard as a run folder of this machine: what it reads is brought down, what it makes is brought up.

The folder lies as deep below `root` as the run's own below the storage, so the paths of a request, which are
relative, lead to the same files.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotate.fleet.messages import ShardMessage
from annotate.storage.interface import Storage
from generator.adapter_files import adapters_in
from generator.rundir import RunDir

#: What a finished video consists of, in the order in which it is brought up.
FOLDERS = ("shown", "samples")


class StagedShard:
    """The part of a run that one message asks for."""

    def __init__(self, storage: Storage, root: Path, message: ShardMessage) -> None:
        """Name the place; nothing is read yet."""
        self.storage, self.root, self.key = storage, root, message.folder
        self.folder = RunDir(root / message.folder)
        with storage.local(f"{message.folder}/request.json") as place:
            self.request: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        self.samples = self.request["samples"][message.start : message.stop]
        # Whole batches: a video made without its neighbour would differ in its last bits.
        batches = (list(batch) for _, batch in itertools.groupby(self.samples, key=_batch_of))
        self.missing = [item for batch in batches if not self._are_up(batch) for item in batch]

    @property
    def finished(self) -> list[str]:
        """Videos of the shard that somebody has brought up already."""
        left = {item["sample_id"] for item in self.missing}
        return [item["sample_id"] for item in self.samples if item["sample_id"] not in left]

    @property
    def model(self) -> str:
        """Which model it needs, as a text that is the same for the same weights."""
        return json.dumps(self.request["model"], sort_keys=True)

    def bring_down(self, *, with_model: bool) -> None:
        """Make the run folder and what it reads for what is missing; adapters only where they are loaded."""
        shutil.rmtree(self.folder.path, ignore_errors=True)
        for path in {*self._paths(with_model)}:
            self._fetch(os.path.normpath(os.path.join(self.key, path)))
        self.folder.create({**self.request, "samples": self.missing})

    def _paths(self, with_model: bool) -> Iterator[str]:
        adapters = adapters_in(self.request["model"]) if with_model else []
        yield from (path for path, _ in adapters if not os.path.isabs(path))
        for item in self.missing:
            yield from (reference["path"] for reference in item["references"])

    def _fetch(self, key: str) -> None:
        """An object, or all of a folder. Keys name bytes that never change, so what is here stays."""
        for name in [key] if self.storage.exists(key) else [item.key for item in self.storage.list(key)]:
            place = self.root / name
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with self.storage.local(name) as source:
                    shutil.copyfile(source, place.with_name(f".{place.name}"))
                os.replace(place.with_name(f".{place.name}"), place)

    def bring_up(self, sample_id: str) -> bool:
        """Store a finished video, unless somebody else, to whom the shard was given too, was sooner."""
        for name in FOLDERS:
            key = f"{self.key}/{name}/{sample_id}.mp4"
            if not self.storage.exists(key):
                self.storage.put(key, self.folder.path / name / f"{sample_id}.mp4")
        return True

    def _are_up(self, batch: list[dict[str, Any]]) -> bool:
        return all(self._is_up(item["sample_id"]) for item in batch)

    def _is_up(self, sample_id: str) -> bool:
        return all(self.storage.exists(f"{self.key}/{name}/{sample_id}.mp4") for name in FOLDERS)


def _batch_of(item: dict[str, Any]) -> tuple[Any, Any]:
    """Neighbours of one batch have equal references and prompt, as `generator.sample` makes them."""
    return item["references"], item["prompt"]
