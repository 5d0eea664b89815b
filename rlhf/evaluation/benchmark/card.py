"""`benchmark.json`: what a benchmark set is, and the hashes that bind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generator.frozen_set import encode_line

FORMAT = "anyid-benchmark-1"
CARD_FILE = "benchmark.json"


class BenchmarkError(ValueError):
    """A set cannot be made, read or compared; the message is one line that names the value and the remedy."""


@dataclass(frozen=True)
class Card:
    """`benchmark.json`: what a set is.

    Attributes:
        name: of the set.
        version: of what the maker chose to change since the last one.
        licence: of all its media.
        made_by: the command that made it.
        created: the parameters of that command, and whatever else decided what is in the set.
        num_instances: rows of `instances.parquet`.
        num_identities: different people among them.
        num_media: files in `media/`.
        rows_sha256: of the rows as JSON lines, which no version of Parquet changes; they hold the sha256 of
            every file.
        sha256: of everything else above: equal sets, equal hash.
    """

    name: str
    version: str
    licence: str
    made_by: str
    created: Mapping[str, Any]
    num_instances: int = 0
    num_identities: int = 0
    num_media: int = 0
    rows_sha256: str = ""
    sha256: str = ""
    format: str = FORMAT

    def derive_sha256(self) -> str:
        """Sha256 (hex) over the card's other facts."""
        facts = {name: value for name, value in asdict(self).items() if name != "sha256"}
        return hashlib.sha256(encode_line(facts)).hexdigest()

    def write(self, folder: Path) -> None:
        """Write it into the set's folder."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / CARD_FILE).write_text(text, encoding="utf-8", newline="\n")


def read_card(folder: Path) -> Card:
    """Read and check the card of a set.

    Raises:
        BenchmarkError: there is none, or not one of this format, or not in accord with itself.
    """
    path = folder / CARD_FILE
    try:
        card = Card(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise BenchmarkError(f"{folder} is no benchmark set: it has no {CARD_FILE}") from None
    except (TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is no card of format {FORMAT}: {error}") from None
    if card.format != FORMAT:
        raise BenchmarkError(f"{path} has format {card.format!r}; this version reads {FORMAT}")
    if card.sha256 != card.derive_sha256():
        raise BenchmarkError(f"{path} does not match its own sha256; get the set again")
    return card
