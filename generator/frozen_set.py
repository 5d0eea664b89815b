"""What a frozen set of rows is made of: lines of equal bytes, and media named by their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.media import MediaError, RejectReason

#: The folder of a set in which every media file lies once.
MEDIA_FOLDER = "media"
_MEDIA_NAME = re.compile(MEDIA_FOLDER + r"/([0-9a-f]{64})\.[a-z0-9]{1,5}")


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


def encode_line(value: Mapping[str, Any]) -> bytes:
    """One JSON object as one line: sorted keys, UTF-8, LF; equal values give equal bytes."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def copy_media(file: MediaFile, target: Path) -> None:
    """Copy a file and check it on the way; `target` is not to be used where this fails.

    Raises:
        MediaError: `missing`, or `altered` where it has other bytes than stated.
    """
    try:
        source = open(file.path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise MediaError(RejectReason.MISSING, f"{file.path} is missing") from None
    digest = hashlib.sha256()
    with source, open(target, "wb") as copy:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise MediaError(
            RejectReason.ALTERED, f"{file.path} has sha256 {digest.hexdigest()}, not {file.sha256}"
        )
