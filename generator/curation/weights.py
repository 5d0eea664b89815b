"""`weights.json`: what lies in a folder of models, where it comes from, and whether it may be used.

Nothing is ever downloaded: people fetch weights themselves, knowing the licence, and note them here.

    {"yunet": {"file": "face_detection_yunet_2023mar.onnx", "sha256": "...", "source": "https://...",
               "licence": "MIT", "non_commercial": false}}
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import Field

from generator.files import file_sha256
from generator.validation import fields_of, read, record

MANIFEST_NAME = "weights.json"


@record
class _Entry:
    file: str
    sha256: str
    source: str
    licence: str
    non_commercial: bool


@record
class Weights:
    """One checked entry."""

    name: str = Field(description="as the manifest calls it")
    path: Path = Field(description="the file, or the folder of a model with several files")
    sha256: str = Field(description="of the file, or of the folder: see weights_sha256")
    source: str = Field(description="where it comes from")
    licence: str = Field(description="such as an SPDX name")
    non_commercial: bool = Field(description="whether the licence forbids commercial use")

    @property
    def version(self) -> str:
        """Short, for records."""
        return self.sha256[:16]


def find_weights(folder: Path | None, name: str, *, allow_non_commercial: bool) -> Weights:
    """Look weights up in a folder of models, and check them.

    Args:
        folder: with a manifest; None where none is configured.
        name: of the entry.
        allow_non_commercial: whether weights that forbid commercial use may be used.

    Raises:
        ValueError: one line that names what is missing, altered or not allowed, and what to do.
    """
    if folder is None:
        raise ValueError(f"{name} needs weights and no folder of models is set; set one with {MANIFEST_NAME}")
    entry = _read_entry(folder / MANIFEST_NAME, name)
    path = (folder / entry.file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name}: {entry.file} lies outside of {folder.name}; put the weights into it")
    if not path.exists():
        raise ValueError(f"{name}: {entry.file} is missing; fetch it from {entry.source}")
    if entry.non_commercial and not allow_non_commercial:
        raise ValueError(
            f"{name}: the licence {entry.licence} forbids commercial use; allow non-commercial weights in "
            "the settings if yours is none, or use another model"
        )
    if (actual := weights_sha256(path)) != entry.sha256:
        raise ValueError(
            f"{name}: {entry.file} has sha256 {actual}, not {entry.sha256}; "
            f"fetch it again from {entry.source}"
        )
    return Weights(name, path, actual, entry.source, entry.licence, non_commercial=entry.non_commercial)


def weights_sha256(path: Path) -> str:
    """Of a file: of its bytes. Of a folder: of the lines that `sha256sum` prints for its files, by path.

    In a shell, within the folder: `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.
    """
    if path.is_file():
        return file_sha256(path)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    lines = (f"{file_sha256(files[name])}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read_entry(manifest: Path, name: str) -> _Entry:
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{name} needs weights and {manifest} cannot be read: {error.strerror}; note them there"
        ) from None
    except ValueError as error:
        raise ValueError(f"{manifest} is not valid JSON: {error}") from None
    if not isinstance(entries, dict) or not isinstance(entries.get(name), dict):
        raise ValueError(f"{manifest} has no entry {name!r}; note the weights there, or use another model")
    known = {key: value for key, value in entries[name].items() if key in fields_of(_Entry)}
    try:
        return read(_Entry, known)
    except ValueError as error:
        raise ValueError(f"{manifest}: {name}: {error}") from None
