"""Copying one storage into another, such as a folder into a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice

from annotate.storage.interface import Storage, StorageError, StoredObject

#: Objects under way at a time: most of the time of one is spent waiting for an answer.
AT_ONCE = 8
#: Objects that are handed out together, so that a list of millions is never held as a whole.
BATCH = 1000


@dataclass(frozen=True)
class Copied:
    """What became of the objects: copied, or there already with the same bytes."""

    copied: int = 0
    copied_bytes: int = 0
    there_already: int = 0
    there_already_bytes: int = 0

    def __add__(self, other: Copied) -> Copied:
        sums = {name: count + getattr(other, name) for name, count in asdict(self).items()}
        return replace(self, **sums)


def copy_objects(source: Storage, target: Storage, *, on_done: Callable[[int], object]) -> Copied:
    """Copy every object that is not in `target` with the same hash; nothing is removed there.

    Each is verified when it is read, and the target takes it under its hash; a second run goes on where the
    first one ended.

    Args:
        source: where they are.
        target: where they are to be.
        on_done: called with the bytes of each object that is there.

    Raises:
        StorageError: one of the two failed, or an object is altered; what was copied before stays.
    """
    done, objects = Copied(), source.list()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for batch in _batches(objects):
            for one in pool.map(lambda item: _copy(source, target, item), batch):
                done += one
                on_done(one.copied_bytes + one.there_already_bytes)
    return done


def _batches(objects: Iterator[StoredObject]) -> Iterator[list[StoredObject]]:
    while batch := list(islice(objects, BATCH)):
        yield batch


def _copy(source: Storage, target: Storage, item: StoredObject) -> Copied:
    key, sha256 = item.key, source.sha256(item.key)
    if _has(target, key, item.size_bytes) and target.sha256(key) == sha256:
        return Copied(there_already=1, there_already_bytes=item.size_bytes)
    with source.local(key, sha256) as place:
        target.put(key, place, sha256)
    if not _has(target, key, item.size_bytes):
        raise StorageError(f"{target.name}: {key} is not there whole after it was stored; look at its log")
    return Copied(copied=1, copied_bytes=item.size_bytes)


def _has(storage: Storage, key: str, size_bytes: int) -> bool:
    try:
        return storage.size(key) == size_bytes
    except FileNotFoundError:
        return False
