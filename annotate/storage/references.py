"""Files of a workspace that stand for objects of a bucket, which its server copies by itself.

Each is a symbolic link that leads nowhere and names the hash and the key: its place says once for all whether
a file is in the folder already, and memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from annotate.storage.interface import Storage, altered

#: Requests that are under way at once; a server answers one in some milliseconds.
AT_ONCE = 16
#: References that are looked up together.
BATCH = 1_000


def note_reference(place: Path, key: str, sha256: str) -> bool:
    """Have a place stand for an object; False where there is something already."""
    try:
        place.symlink_to(f"{sha256}/{key}")
    except FileExistsError:
        return False
    return True


def copy_references(storage: Storage, folder: Path, prefix: str) -> None:
    """Have the storage copy what the references of a folder stand for, and drop them there.

    Raises:
        FileNotFoundError: an object is not there.
        AlteredError: an object has other bytes than its hash says.
    """

    def copy(place: Path) -> None:
        sha256, key = os.readlink(place).split("/", 1)
        if (found := storage.sha256(key)) != sha256:
            raise altered(storage.name, key, found, sha256)
        storage.copy(key, f"{prefix}/{place.relative_to(folder).as_posix()}")
        place.unlink()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        # What was copied is gone, so each look finds what is left.
        while batch := list(islice(_references(folder), BATCH)):
            for _ in pool.map(copy, batch):
                pass


def _references(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry)
            elif entry.is_dir():
                yield from _references(Path(entry))
