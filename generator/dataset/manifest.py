"""`manifest.json`: what a dataset holds, and the hashes that bind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from generator.frozen_set import encode_line

FORMAT = "anyid-dataset-2"
#: Format 1 had a free text for consent, and people by their names.
READABLE = ("anyid-dataset-1", FORMAT)
MANIFEST_FILE = "manifest.json"
#: What is told but not part of what the dataset is.
_ASIDE = ("left_out", "content_hash")


class DatasetError(ValueError):
    """A dataset cannot be written or read; the message is one line that names the value and the remedy."""


@dataclass(frozen=True)
class Manifest:
    """What a dataset holds.

    Attributes:
        num_people: rows of `people.parquet`.
        num_references: rows of `references.parquet`.
        num_instances: rows of `instances.parquet`.
        num_training_instances: lines of `instances.jsonl`.
        num_media: files in `media/`: references, crops and annotations.
        licences: people per licence.
        rows_sha256: of each table's rows as JSON lines, which no version of Parquet changes; they hold the
            sha256 of every file.
        training_sha256: of `instances.jsonl`.
        left_out: what the exporting side left out, per reason; not in `content_hash`.
        content_hash: sha256 of everything else above: equal datasets, equal hash.
    """

    num_people: int
    num_references: int
    num_instances: int
    num_training_instances: int
    num_media: int
    licences: Mapping[str, int]
    rows_sha256: Mapping[str, str]
    training_sha256: str
    left_out: Mapping[str, int]
    content_hash: str = ""
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Derive the content hash where it is not given."""
        if not self.content_hash:
            object.__setattr__(self, "content_hash", self.derive_content_hash())

    def derive_content_hash(self) -> str:
        """Sha256 (hex) over the manifest's own facts."""
        facts = {name: value for name, value in asdict(self).items() if name not in _ASIDE}
        return hashlib.sha256(encode_line(facts)).hexdigest()

    def write(self, folder: Path) -> None:
        """Write it into the dataset's folder."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of a dataset.

        Raises:
            DatasetError: there is none, or not one of this format, or not in accord with itself.
        """
        path = folder / MANIFEST_FILE
        try:
            manifest = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(f"{folder} is no dataset: it has no {MANIFEST_FILE}") from None
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{path} is no manifest of format {FORMAT}: {error}") from None
        if manifest.format not in READABLE:
            known = " and ".join(READABLE)
            raise DatasetError(f"{path} has format {manifest.format!r}; this version reads {known}")
        if manifest.content_hash != manifest.derive_content_hash():
            raise DatasetError(f"{path} does not match its own content_hash; export the dataset again")
        return manifest
