"""A storage that is a folder. Its objects are plain files, so nothing is copied to read them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import quote

from annotate.storage.address import FolderAddress
from annotate.storage.cache import clear_left_behind
from annotate.storage.interface import (
    CHUNK_BYTES,
    StorageError,
    StoredObject,
    altered,
    checked_key,
    is_partial,
)
from generator.files import file_sha256

_REMEDIES = {
    errno.ENOSPC: "it is full: free some space, then try again",
    errno.EDQUOT: "the quota of this account is used up: free some space, then try again",
    errno.EACCES: "this account may not do that: change the owner of the folder",
    errno.EPERM: "this account may not do that: change the owner of the folder",
    errno.EROFS: "it is mounted read-only: mount it for writing",
    errno.ESTALE: "the network file system lost it: mount it again",
}


class FolderStorage:
    """See `Storage`. What is half-written has a name that begins with a dot, and lies beside its object."""

    def __init__(self, address: FolderAddress) -> None:
        self.root = address.folder
        self.name = str(address)

    def check(self) -> None:
        if not (self.root.is_dir() and os.access(self.root, os.W_OK | os.X_OK)):
            raise StorageError(f"{self.name} is no folder that this account can write; look at its mount")

    def shown(self, key: str) -> str:
        return str(self._place(key))

    def size(self, key: str) -> int:
        with self.local(key) as place:
            return place.stat().st_size

    def exists(self, key: str) -> bool:
        return self._place(key).is_file()

    def sha256(self, key: str) -> str:
        with self._errors():
            return file_sha256(self._file(key))

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with self._errors():
            file = open(self._file(key), "rb")  # noqa: SIM115 - whoever reads the part closes it
        size = os.fstat(file.fileno()).st_size
        return FilePart(file, start, size if stop is None else min(stop, size))

    @contextlib.contextmanager
    def local(self, key: str, sha256: str = "") -> Iterator[Path]:
        place = self._file(key)
        if sha256 and (found := self.sha256(key)) != sha256:
            raise altered(self.name, key, found, sha256)
        yield place

    @contextlib.contextmanager
    def local_folder(self, prefix: str, names: Collection[str] = ()) -> Iterator[Path]:
        yield self._place(prefix)

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        place = self._place(key)
        partial = place.with_name(f".{place.stem}.{secrets.token_hex(6)}{place.suffix}")
        with self._errors():
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with self._errors():
                _flush(partial)
                partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        with self._errors():
            self.root.mkdir(parents=True, exist_ok=True)
            clear_left_behind(self.root.glob(".work-*"))
            folder = TemporaryDirectory(dir=self.root, prefix=".work-")
        with folder as place:
            yield Path(place)

    def refer(self, key: str, sha256: str, place: Path) -> bool:
        """By a second name for the same file; by a copy where the file system has no such thing."""
        if place.exists():
            return False
        with self.local(key, sha256) as source, self._errors():
            try:
                os.link(source, place)
            except OSError:
                shutil.copyfile(source, place)
        return True

    def put_folder(self, folder: Path, prefix: str, *, last: str) -> None:
        place = self._place(prefix)
        with self._errors():
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(place)
            except OSError:
                if not (place / last).is_file():
                    raise

    def put(self, key: str, source: bytes | Path, sha256: str = "") -> str:
        with self.writing(key) as partial:
            with self._errors():
                if isinstance(source, bytes):
                    partial.write_bytes(source)
                else:
                    shutil.copyfile(source, partial)
                found = file_sha256(partial)
            if sha256 and found != sha256:
                raise altered(self.name, key, found, sha256)
        return found

    def copy(self, key: str, target: str) -> None:
        self.put(target, self._file(key))

    def list(self, prefix: str = "", *, with_partial: bool = False) -> Iterator[StoredObject]:
        start = self._place(prefix) if prefix else self.root
        found = []
        with self._errors():
            for folder, _, names in os.walk(start):
                places = (Path(folder, name) for name in names)
                found += [place for place in places if with_partial or not is_partial(self._key(place))]
        for place in sorted(found, key=self._key):
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                facts = place.stat()
                yield StoredObject(self._key(place), facts.st_size, facts.st_mtime)

    def remove(self, keys: Iterable[str]) -> None:
        with self._errors():
            for key in keys:
                self._place(key).unlink(missing_ok=True)

    def remove_folder(self, prefix: str) -> None:
        place = self._place(prefix)
        with self._errors():
            if place.exists():
                shutil.rmtree(place)

    def address(self, key: str, lifetime_s: int) -> str:
        raise StorageError(f"{self.name} is a folder, whose files have no address; set MEDIA_DELIVERY=web")

    def internal_address(self, key: str, lifetime_s: int) -> str:
        return quote(checked_key(key))

    def _place(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _file(self, key: str) -> Path:
        place = self._place(key)
        if not place.is_file():
            raise FileNotFoundError(errno.ENOENT, f"{self.name} has no file {key}")
        return place

    def _key(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say what the operating system says, in one line with the remedy."""
        try:
            yield
        except (StorageError, FileNotFoundError):
            raise
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "look at the disk and its mount, then try again")
            raise StorageError(f"{self.name}: {error.strerror or error}; {remedy}") from error


def _flush(place: Path) -> None:
    """Bring a file to the disk before it gets its name: after a power cut, it is whole or not there."""
    with open(place, "rb") as written:
        os.fsync(written.fileno())


class FilePart(io.RawIOBase):
    """The bytes `start` to `stop` of an open file, which it closes; read as a file, or by chunks."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file, self.start, self.size = file, start, max(0, stop - start)
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.place)
        self.file.seek(self.start + self.place)
        part = self.file.read(left if size < 0 else min(size, left))
        self.place += len(part)
        return part

    def close(self) -> None:
        self.file.close()
        super().close()

    def __iter__(self) -> Iterator[bytes]:
        with self:
            while chunk := self.read(CHUNK_BYTES):
                yield chunk
