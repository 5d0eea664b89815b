"""`benchmark.json`: what a benchmark set is, and the hashes that bind it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from generator.frozen_set import FrozenSetError, Manifest
from generator.validation import record

FORMAT = "anyid-benchmark-1"
CARD_FILE = "benchmark.json"


class BenchmarkError(FrozenSetError):
    """A set cannot be made or compared; the message is one line that names the value and the remedy."""


@record
class Card(Manifest):
    """`benchmark.json`: what a set is."""

    noun: ClassVar[str] = "benchmark set"
    file_name: ClassVar[str] = CARD_FILE
    remedy: ClassVar[str] = "get the set again"
    formats: ClassVar[tuple[str, ...]] = (FORMAT,)
    hash_field: ClassVar[str] = "sha256"

    name: str
    version: str = Field(description="of what the maker chose to change since the last one")
    licence: str = Field(description="of all its media")
    made_by: str = Field(description="the command that made it")
    created: dict[str, Any] = Field(
        description="the parameters of that command, and whatever else decided what is in the set"
    )
    num_instances: int = 0
    num_identities: int = Field(default=0, description="different people among the instances")
    num_media: int = Field(default=0, description="files in media/")
    rows_sha256: str = Field(default="", description="of the rows, which name every file by its sha256")
    sha256: str = Field(default="", description="of everything else here")
    format: str = FORMAT

    @property
    def identity(self) -> dict[str, str]:
        """What a result says of the set that it was made on; see `set.check_same`."""
        return {"name": self.name, "sha256": self.sha256}
