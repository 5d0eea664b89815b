"""A shard as a run folder of this machine: what it reads is brought down, what it makes is brought up.

The folder lies as deep below `root` as the run's own below the storage, so the paths of a request, which are
relative, lead to the same files.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from annotate.fleet.messages import ShardMessage
from annotate.fleet.relative_paths import relative_paths
from annotate.storage.interface import Storage
from generator.parts import Item, Parts
from generator.rundir import RunDir

#: So many items are looked for one by one.
FEW_ITEMS = 100


class StagedShard:
    """The part of a run that one message asks for."""

    def __init__(self, storage: Storage, root: Path, message: ShardMessage) -> None:
        """Name the place, and look what of it is there."""
        self.storage, self.root, self.key = storage, root, message.folder
        self.folder = RunDir(root / message.folder)
        self.parts = cast(Parts, import_module(message.parts))
        with storage.local(f"{message.folder}/request.json") as place:
            request: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        items = self.parts.items(request, self.folder)[message.start : message.stop]
        self._is_there = self._looks_up(items)
        #: Names of what is finished, by whomever.
        self.finished = {item.name: None for item in items if self._is_up(item)}
        # Whole batches: what is made without its neighbour would differ in its last bits.
        batches = (list(batch) for _, batch in itertools.groupby(items, key=lambda item: item.batch))
        left = (batch for batch in batches if any(item.name not in self.finished for item in batch))
        self.items = {item.name: item for batch in left for item in batch}
        self.request = self.parts.part(request, [*self.items.values()])

    @property
    def loaded(self) -> str:
        """What has to be in memory for it, as a text."""
        return self.parts.loaded(self.request)

    def bring_down(self) -> None:
        """Make the run folder, what it reads for what is missing, and what is there of that."""
        shutil.rmtree(self.folder.path, ignore_errors=True)
        for path in {*relative_paths(self.request)}:
            self._fetch(os.path.normpath(os.path.join(self.key, path)))
        for item in self.items.values():
            for name in (*item.files, *item.besides):
                if self._is_there(f"{self.key}/{name}"):
                    self._fetch(f"{self.key}/{name}")
        self.folder.create(self.request)

    def _fetch(self, key: str) -> None:
        """An object, or all of a folder. Keys name bytes that never change, so what is here stays."""
        if key.startswith("../"):
            return  # outside of the storage
        for name in [key] if self.storage.exists(key) else [item.key for item in self.storage.list(key)]:
            place = self.root / name
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with self.storage.local(name) as source:
                    shutil.copyfile(source, place.with_name(f".{place.name}"))
                os.replace(place.with_name(f".{place.name}"), place)

    def bring_up(self, name: str) -> bool:
        """Store what is finished, unless somebody else, to whom the shard was given too, was sooner."""
        item = self.items[name]
        self._bring_up_besides(item)
        for file in item.files:
            if not self.storage.exists(f"{self.key}/{file}"):
                self.storage.put(f"{self.key}/{file}", self.folder.path / file)
        self.finished[name] = None
        return True

    def bring_up_rest(self) -> bool:
        """Store what is kept of what is not finished."""
        for name, item in self.items.items():
            if name not in self.finished:
                self._bring_up_besides(item)
        return True

    def _bring_up_besides(self, item: Item) -> None:
        for file in item.besides:
            if (place := self.folder.path / file).is_file():
                self.storage.put(f"{self.key}/{file}", place)

    def _is_up(self, item: Item) -> bool:
        return all(self._is_there(f"{self.key}/{name}") for name in item.files)

    def _looks_up(self, items: Sequence[Item]) -> Callable[[str], bool]:
        """Whether something is stored: asked for each, or of many listed once."""
        if len(items) <= FEW_ITEMS:
            return self.storage.exists
        return {one.key for one in self.storage.list(self.key)}.__contains__
