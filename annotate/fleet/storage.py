"""What a worker needs of the site's storage, and a folder that has it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Item(Protocol):
    """An object in a list."""

    @property
    def key(self) -> str:
        """A path below the storage."""


class Storage(Protocol):
    """Objects by key; each is there whole or not at all."""

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def local(self, key: str) -> contextlib.AbstractContextManager[Path]:
        """A file on this machine with the object's bytes, to read while the context lasts."""

    def put(self, key: str, source: bytes | Path) -> str:
        """Store bytes, or a copy of a file."""

    def list(self, prefix: str = "") -> Iterator[Item]:
        """The objects in a folder, at any depth."""


@dataclass(frozen=True)
class Stored:
    """See `Item`."""

    key: str


class Folder:
    """See `Storage`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def exists(self, key: str) -> bool:
        return (self.root / key).is_file()

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[Path]:
        yield self.root / key

    def put(self, key: str, source: bytes | Path) -> str:
        place = self.root / key
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{secrets.token_hex(6)}{place.suffix}")
        if isinstance(source, bytes):
            partial.write_bytes(source)
        else:
            shutil.copyfile(source, partial)
        os.replace(partial, place)
        return key

    def list(self, prefix: str = "") -> Iterator[Stored]:
        for place in sorted((self.root / prefix).rglob("*")):
            if place.is_file() and not place.name.startswith("."):
                yield Stored(place.relative_to(self.root).as_posix())
