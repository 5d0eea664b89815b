"""`manifest.json`: what a dataset holds, and the hashes that bind it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from generator import frozen_set
from generator.validation import record

FORMAT = "anyid-dataset-2"


@record
class Manifest(frozen_set.Manifest):
    """What a dataset holds; its hash binds everything but what was left out."""

    noun: ClassVar[str] = "dataset"
    remedy: ClassVar[str] = "export the dataset again"
    #: Format 1 had a free text for consent, and people by their names.
    formats: ClassVar[tuple[str, ...]] = ("anyid-dataset-1", FORMAT)
    aside: ClassVar[frozenset[str]] = frozenset({"left_out"})

    num_people: int
    num_references: int
    num_instances: int
    num_training_instances: int = Field(description="lines of instances.jsonl")
    num_media: int = Field(description="files in media/: references, crops and annotations")
    licences: dict[str, int] = Field(description="people per licence")
    rows_sha256: dict[str, str] = Field(description="of each table's rows, which name all files by hash")
    training_sha256: str = Field(description="of instances.jsonl")
    left_out: dict[str, int] = Field(description="what the exporting side left out, per reason")
    content_hash: str = ""
    format: str = FORMAT
