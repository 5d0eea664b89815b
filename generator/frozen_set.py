"""Frozen sets: a folder of rows and media that appears whole, names its hashes, and is never changed.

Exports, datasets and benchmark sets are such folders: lines of equal bytes, media named by their content, and
one file that says what the set is and binds all of it by a hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import PlainSerializer, PlainValidator, ValidationInfo

from generator.files import file_sha256
from generator.media.formats import MediaError, RejectReason
from generator.validation import parse, record

#: The folder of a set in which every media file lies once.
MEDIA_FOLDER = "media"
_MEDIA_NAME = re.compile(MEDIA_FOLDER + r"/([0-9a-f]{64})\.[a-z0-9]{1,5}")


class FrozenSetError(ValueError):
    """A set cannot be written or read; the message is one line that names the value and the remedy."""


@dataclass(frozen=True)
class MediaFile:
    """One file and the sha256 (hex) that its bytes must have."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """Its place in a set: named by content, so that one file is there once."""
        return f"{MEDIA_FOLDER}/{self.sha256}{self.path.suffix.lower()}"

    def to_json(self) -> dict[str, str]:
        """Its place and hash, as rows name it."""
        return {"path": self.name, "sha256": self.sha256}

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> MediaFile:
        """The inverse of `to_json`, for the set in `folder`.

        Raises:
            KeyError: a field is missing.
            ValueError: a path that does not lie in the media folder under its own hash.
        """
        match = _MEDIA_NAME.fullmatch(item["path"])
        if match is None or match[1] != item["sha256"]:
            raise ValueError(f"media path {item['path']!r} is not {MEDIA_FOLDER}/<sha256>.<extension>")
        return cls(folder / item["path"], item["sha256"])


def _find_media(value: Any, info: ValidationInfo) -> MediaFile:
    return value if isinstance(value, MediaFile) else MediaFile.from_json(value, Path(str(info.context)))


#: A file in a record that is read with the folder of its set as the context.
StoredFile = Annotated[MediaFile, PlainValidator(_find_media), PlainSerializer(MediaFile.to_json)]


@record
class Manifest:
    """What a set is: its facts, and the hash that binds them.

    Each kind of set adds its facts, `format`, and the field `hash_field`, which is derived where it is empty.
    """

    #: What a set of this kind is called, its file, and what to do about one that is damaged.
    noun: ClassVar[str]
    file_name: ClassVar[str] = "manifest.json"
    remedy: ClassVar[str]
    #: Formats that can be read, the one that is written last.
    formats: ClassVar[tuple[str, ...]]
    hash_field: ClassVar[str] = "content_hash"
    #: Facts that are told but no part of what the set is.
    aside: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if not self.hash:
            object.__setattr__(self, self.hash_field, self.derive_hash())

    @property
    def hash(self) -> str:
        """Equal sets, equal hash."""
        return str(getattr(self, self.hash_field))

    def bound_facts(self) -> dict[str, Any]:
        """What the hash is taken of."""
        return {k: v for k, v in asdict(self).items() if k != self.hash_field and k not in self.aside}

    def derive_hash(self) -> str:
        """Sha256 (hex) over the set's own facts."""
        return hashlib.sha256(encode_line(self.bound_facts())).hexdigest()

    def write(self, folder: Path) -> None:
        """Write it into the set's folder."""
        write_facts(folder / self.file_name, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check what a set says of itself.

        Raises:
            FrozenSetError: it says nothing, or is not of this format, or not in accord with itself.
        """
        path, form = folder / cls.file_name, f"{cls.noun} of format {cls.formats[-1]}"
        try:
            manifest = parse(cls, path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise FrozenSetError(f"{folder} is no {cls.noun}: it has no {cls.file_name}") from None
        except ValueError as error:
            raise FrozenSetError(f"{path} does not describe a {form}: {error}") from None
        if (format := manifest.bound_facts()["format"]) not in cls.formats:
            known = " and ".join(cls.formats)
            raise FrozenSetError(f"{path} has format {format!r}; this version reads {known}")
        if manifest.hash != manifest.derive_hash():
            raise FrozenSetError(f"{path} does not match its own {cls.hash_field}; {cls.remedy}")
        return manifest

    def expect_in(self, folder: Path) -> None:
        """Refuse a folder that holds another set.

        Raises:
            FrozenSetError: it does, or none at all.
        """
        there = self.read(folder)
        if there.hash != self.hash:
            raise FrozenSetError(
                f"{folder} holds another {self.noun} ({there.hash[:12]}); write into a new folder"
            )


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder with a place for media to write a set into, which becomes `folder` at the end, in one step.

    Where there is a folder already, it stays as it is: whoever wrote says whether it holds the same set.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    partial.chmod(0o750)
    try:
        (partial / MEDIA_FOLDER).mkdir()
        yield partial
        publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(written: Path, folder: Path) -> None:
    """Give a whole set its name, in one step; where there is a folder of that name, that one stays."""
    try:
        os.rename(written, folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(written)


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """A JSON object for people and programs; equal facts give equal bytes."""
    text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def encode_line(value: Mapping[str, Any]) -> bytes:
    """One JSON object as one line: sorted keys, UTF-8, LF; equal values give equal bytes."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def place_media(file: MediaFile, folder: Path) -> bool:
    """Copy a file into a set's media unless it is there, and verify it; say whether it was new.

    Raises:
        FrozenSetError: it is missing, or has other bytes than stated.
    """
    target = folder / file.name
    if target.exists():
        return False
    try:
        copy_media(file, target)
    except MediaError as problem:
        raise FrozenSetError(f"{problem.detail}; import it again, or leave out what shows it") from None
    return True


def expect_file(path: Path, sha256: str, remedy: str) -> None:
    """Verify a file of a set.

    Raises:
        FrozenSetError: it is missing or was changed.
    """
    try:
        actual = file_sha256(path)
    except FileNotFoundError:
        raise FrozenSetError(f"{path} is missing; {remedy}") from None
    if actual != sha256:
        raise FrozenSetError(f"{path} has sha256 {actual}, not {sha256}; {remedy}")


def copy_media(file: MediaFile, target: Path) -> None:
    """Copy a file and check the copy; `target` is not to be used where this fails.

    Raises:
        MediaError: `missing`, or `altered` where it has other bytes than stated.
    """
    if not file.path.exists():
        raise MediaError(RejectReason.MISSING, f"{file.path} is missing")
    shutil.copyfile(file.path, target)
    if (actual := file_sha256(target)) != file.sha256:
        raise MediaError(RejectReason.ALTERED, f"{file.path} has sha256 {actual}, not {file.sha256}")
