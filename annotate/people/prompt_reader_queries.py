"""Reads of what models make of prompts: how many tokens they count, what they would cut or not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet
from tokenizers import Tokenizer

from annotate.models import Instance, ModelState, ModelVersion
from annotate.storage.opening import site_storage
from generator.prompt_reading import PromptReader, Reading, look_at
from generator.prompts.limit import find_limit


def tokenizer_path(sha256: str) -> str:
    """Where a tokenizer lies in the storage, so that the web need not see the model's folder."""
    return f"tokenizers/{sha256}.json"


def reader_of(version: ModelVersion) -> PromptReader | None:
    """What counts prompts as this version reads them; None where its tokenizer was never seen."""
    if version.max_tokens is None:
        return None
    try:
        return _load(version.tokenizer_sha256, version.max_tokens)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=4)
def _load(sha256: str, limit: int) -> PromptReader:
    """Kept by the process: the tokenizer of a large model takes half a second and 340 MB."""
    with site_storage().local(tokenizer_path(sha256)) as file:
        return PromptReader.of_tokenizer(Tokenizer.from_file(str(file)), limit)


@lru_cache(maxsize=1)
def _shipped_reader(base: str) -> PromptReader | None:
    limit = find_limit(base)
    if limit is None:
        return None
    return PromptReader.of_tokenizer(Tokenizer.from_str(limit.tokenizer), limit.max_tokens)


@dataclass(frozen=True)
class Readers:
    """What reads the prompts that are written now: every model that can still start a round.

    They are `known` by the name of the newest version that reads so; `is_complete` says that there is no
    other version, of which nobody knows how it reads.
    """

    known: Mapping[str, PromptReader]
    is_complete: bool

    def look_at(self, prompt: str) -> tuple[str, str]:
        """Why a prompt must not be written so, and what its writer should know; each may be empty.

        It is refused where no model reads it to its end. What only some read, and words that are not known,
        are said; a round leaves out what its own model does not read.
        """
        return look_at(self.known, prompt, may_refuse=self.is_complete)

    def count(self, prompt: str) -> list[tuple[str, Reading]]:
        return [(name, reader.read(prompt)) for name, reader in self.known.items()]


def versions_in_use() -> QuerySet[ModelVersion]:
    """Those that can start a round: of all that read alike, the newest."""
    alike = ("tokenizer_sha256", "max_tokens")
    versions = ModelVersion.objects.exclude(state=ModelState.ARCHIVED)
    return versions.order_by(*alike, "-id").distinct(*alike)


def readers_in_use() -> Readers:
    """Of all versions that are not archived; before there is one, of MODEL_PATH."""
    readers = {version.name: reader_of(version) for version in versions_in_use()}
    if not readers:
        readers = {Path(settings.MODEL_PATH).name: _shipped_reader(settings.MODEL_PATH)}
    known = {name: reader for name, reader in readers.items() if reader is not None}
    return Readers(known, len(known) == len(readers))


def part_by_prompt(
    versions: Iterable[ModelVersion], instances: Iterable[Instance]
) -> tuple[list[Instance], list[str]]:
    """Instances whose prompts all these models read whole; and the others, each with the reason."""
    readers = [reader for version in versions if (reader := reader_of(version))]
    whole, unread = [], []
    for instance in instances:
        readings = (reader.read(instance.prompt.text) for reader in readers)
        if problem := next((reading.problem for reading in readings if reading.problem), ""):
            unread.append(f"instance {instance.pk} of {instance.group}: {problem}")
        else:
            whole.append(instance)
    return whole, unread
