"""What a storage can do, whatever keeps its objects.

Keys are relative paths such as `references/3f/media.mp4`. An object appears whole or not at all, and is known
by the sha256 of its content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
#: How much is read at a time.
CHUNK_BYTES = 1 << 20


class StorageError(OSError):
    """A storage cannot do what is asked; one line that names its address, without secrets, and the remedy."""


class AlteredError(StorageError):
    """An object has other bytes than its hash says."""


@dataclass(frozen=True)
class StoredObject:
    """An object in a list."""

    key: str
    size_bytes: int
    #: Seconds since 1970.
    modified: float


class Storage(Protocol):
    """Objects by key. Any method raises `StorageError` where the storage fails, and ValueError for no key."""

    @property
    def name(self) -> str:
        """Its address, as it may be shown."""

    def check(self) -> None:
        """Ask whether it can be used now.

        Raises:
            StorageError: it cannot.
        """

    def shown(self, key: str) -> str:
        """Where people find an object or a folder: a path of this machine, or an address in the bucket."""

    def size(self, key: str) -> int:
        """How many bytes an object has.

        Raises:
            FileNotFoundError: there is none.
        """

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def sha256(self, key: str) -> str:
        """The hash (hex) of an object: as kept when it was put, or from its bytes.

        Raises:
            FileNotFoundError: there is none.
        """

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of an object from `start` to before `stop`.

        Raises:
            FileNotFoundError: there is none; at once, not with the first chunk.
        """

    def local(self, key: str, sha256: str = "") -> AbstractContextManager[Path]:
        """A file on this machine with an object's bytes, verified, to read while the context lasts.

        Args:
            key: of the object.
            sha256: what its bytes must have, where that is known; otherwise what was kept with it.

        Raises:
            FileNotFoundError: there is none.
            AlteredError: it has other bytes.
        """

    def local_folder(self, prefix: str, names: Collection[str] = ()) -> AbstractContextManager[Path]:
        """A folder on this machine with the files of a folder, verified, to read while the context lasts.

        Where there is no such folder, or a file is missing, so it is in what is given.

        Args:
            prefix: the folder.
            names: the files in it that are needed; all of them without names.

        Raises:
            AlteredError: a file has other bytes than were put.
        """

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """A place on this machine to write a file, which becomes the object when the context ends well."""

    def put(self, key: str, source: bytes | Path, sha256: str = "") -> str:
        """Store bytes, or a copy of a file, and return their hash (hex).

        Raises:
            AlteredError: they do not have the hash that was given.
        """

    def workspace(self) -> AbstractContextManager[Path]:
        """A folder of this machine to make files in; it goes with the context."""

    def refer(self, key: str, sha256: str, place: Path) -> bool:
        """Have a place in a workspace stand for an object, which `put_folder` has linked or copied.

        It is no file to read. False where there is something already.

        Raises:
            FileNotFoundError: there is no such object; a bucket says so in `put_folder`.
            AlteredError: it has other bytes than the hash says; likewise.
        """

    def put_folder(self, folder: Path, prefix: str, *, last: str) -> None:
        """Store a folder that was made in a workspace; `last` is the file that says that it is whole.

        One that is there already stays as it is. Afterwards, the folder is not to be used any more.
        """

    def copy(self, key: str, target: str) -> None:
        """Store the same bytes under another key, too.

        Raises:
            FileNotFoundError: there is no such object.
        """

    def list(self, prefix: str = "", *, with_partial: bool = False) -> Iterator[StoredObject]:
        """The objects in a folder, at any depth, in the order of their keys.

        Args:
            prefix: the folder; all of the storage without one.
            with_partial: also what is half-written.
        """

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are none the worse."""

    def remove_folder(self, prefix: str) -> None:
        """Remove a folder with all that is in it, also what is half-written."""

    def address(self, key: str, lifetime_s: int) -> str:
        """A web address that gives an object to whoever has it, for so many seconds.

        Raises:
            StorageError: this kind of storage has none.
        """

    def internal_address(self, key: str, lifetime_s: int) -> str:
        """Where a proxy in front of the site finds an object: a path, and for a bucket its signature."""


def media_type(key: str) -> str:
    """What a browser is told that an object is."""
    return _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")


def checked_key(key: str) -> str:
    """The same key.

    Raises:
        ValueError: it is none: it would lead out of the storage, or be another key on a folder.
    """
    path = PurePosixPath(key)
    if not key or path.is_absolute() or ".." in path.parts or str(path) != key or "\0" in key:
        raise ValueError(f"{key!r} is not a path inside the storage")
    return key


def is_partial(key: str) -> bool:
    """Whether this is something half-written: such names, or those of their folders, begin with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(key).parts)


def altered(name: str, key: str, found: str, expected: str) -> AlteredError:
    """The error for an object with other bytes than expected."""
    return AlteredError(
        f"{name}: {key} has sha256 {found[:12]}..., not {expected[:12]}...; "
        "it was truncated or altered: make it again, or restore it from the backup"
    )
