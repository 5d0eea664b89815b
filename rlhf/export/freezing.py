"""The exported set of preference pairs: a frozen, hashed folder that any trainer can read.

    pairs.jsonl       one pair per line, ascending pair_id
    pairs.parquet     the same rows, for `datasets.load_dataset("parquet", ...)`
    media/            every clip and photo once, named by its sha256
    manifest.json     counts, rule version, licences, hashes

The same set gives the same bytes: no time, no machine, sorted keys, LF.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from generator import frozen_set
from generator.files import file_sha256
from generator.frozen_set import FrozenSetError, MediaFile, expect_file, place_media, staged
from generator.frozen_table import TableWriter, columns_of
from generator.validation import record
from rlhf.export.row import ExportRow
from rlhf.export.rule import ExportRule
from rlhf.votes.consensus import RULE_VERSION

FORMAT = "anyid-preference-1"


@record
class Manifest(frozen_set.Manifest):
    """What a set holds and where it comes from.

    Its hash leaves out the one of the Parquet file, which names its writer's version, and the rule `pareto`,
    so that sets from before rules had names keep theirs.
    """

    noun: ClassVar[str] = "exported set"
    remedy: ClassVar[str] = "export the set again"
    formats: ClassVar[tuple[str, ...]] = (FORMAT,)
    aside: ClassVar[frozenset[str]] = frozenset({"parquet_sha256"})

    num_pairs: int
    num_simulated: int = Field(description="pairs with any simulated vote")
    joint_states: dict[str, int] = Field(description="pairs of the round per joint state, exported or not")
    reasons: dict[str, int] = Field(description="pairs that were not exported per reason")
    licences: dict[str, int] = Field(description="exported pairs per licence")
    num_media: int = Field(description="distinct media files")
    rule_version: str = Field(description="of consensus and Pareto rule")
    pairs_sha256: str = Field(description="of pairs.jsonl, whose rows name every media file by its hash")
    parquet_sha256: str = Field(description="of pairs.parquet")
    content_hash: str = ""
    format: str = FORMAT
    rule: str = Field(default=ExportRule.PARETO.value, description="by which the chosen videos were chosen")

    def bound_facts(self) -> dict[str, Any]:
        """What the hash is taken of."""
        facts = super().bound_facts()
        return facts if self.rule != ExportRule.PARETO else {k: v for k, v in facts.items() if k != "rule"}


@dataclass(frozen=True)
class Export:
    """A set on disk whose manifest and rows have been verified."""

    folder: Path
    manifest: Manifest

    def rows(self) -> Iterator[ExportRow]:
        """Read the pairs one by one; their files lie in the set's own media folder.

        Raises:
            FrozenSetError: a row that this format does not allow.
        """
        with open(self.folder / "pairs.jsonl", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield ExportRow.from_json(json.loads(line), self.folder)
                except ValueError as error:
                    raise FrozenSetError(f"{file.name} line {number} is not a pair: {error}") from None


def write_export(
    folder: Path | str,
    rows: Iterable[ExportRow],
    *,
    joint_states: Mapping[str, int],
    reasons: Mapping[str, int] | None = None,
    rule_version: str = RULE_VERSION,
    rule: ExportRule = ExportRule.PARETO,
    place: Callable[[MediaFile, Path], bool] = place_media,
) -> Manifest:
    """Write a set into a new folder; nothing is visible there until it is complete.

    Rows are streamed: memory does not grow with the number of pairs, only with the number of licences.
    Writing the same set again is allowed and changes nothing.

    Args:
        folder: the set's folder; its parent is made when missing.
        rows: the pairs, in ascending order of `pair_id`.
        joint_states: pairs per joint state, over everything that was considered.
        reasons: pairs that are not in the set, per reason; read after the last row.
        rule_version: of the rule behind the verdicts.
        rule: by which the chosen videos were chosen.
        place: brings a file into the media of a set, unless it is there, and says whether it was new.

    Returns:
        The manifest as written.

    Raises:
        FrozenSetError: rows out of order, a file that is missing or has other bytes than stated, or another
            set in `folder`.
    """
    folder = Path(folder)
    with staged(folder) as partial:
        manifest = Manifest(
            **_write_rows(rows, partial, place),
            joint_states={str(state): count for state, count in joint_states.items()},
            reasons=dict(reasons or {}),
            rule_version=rule_version,
            parquet_sha256=file_sha256(partial / "pairs.parquet"),
            rule=rule.value,
        )
        manifest.write(partial)
    manifest.expect_in(folder)
    return manifest


def read_export(folder: Path | str, *, verify_media: bool = True) -> Export:
    """Open a set and check that it is complete and unchanged.

    Args:
        folder: as written by `write_export`.
        verify_media: also hash every media file; a moment per gigabyte.

    Returns:
        The set.

    Raises:
        FrozenSetError: something is missing or changed; the message names the file.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    for name, expected in (
        ("pairs.jsonl", manifest.pairs_sha256),
        ("pairs.parquet", manifest.parquet_sha256),
    ):
        expect_file(folder / name, expected, Manifest.remedy)
    export = Export(folder, manifest)
    if verify_media:
        verified: set[Path] = set()
        for row in export.rows():
            for file in row.files:
                if file.path not in verified:
                    expect_file(file.path, file.sha256, Manifest.remedy)
                    verified.add(file.path)
    return export


def _write_rows(
    rows: Iterable[ExportRow], folder: Path, place: Callable[[MediaFile, Path], bool]
) -> dict[str, Any]:
    """Write both tables and the media; gives what the manifest says of them."""
    licences: Counter[str] = Counter()
    num_media, num_simulated, last_pair_id = 0, 0, None

    @lru_cache(1_000)  # Neighbours are of one person, and share their references.
    def put(file: MediaFile) -> None:
        nonlocal num_media
        num_media += place(file, folder)

    table = TableWriter(folder / "pairs.parquet", columns_of(ExportRow, references="primary_reference"))
    with open(folder / "pairs.jsonl", "wb") as lines, table:
        for row in rows:
            if last_pair_id is not None and row.pair_id <= last_pair_id:
                raise FrozenSetError(
                    f"pair {row.pair_id} comes after pair {last_pair_id}; give pairs in ascending order"
                )
            for file in row.files:
                put(file)
            lines.write(table.add(row.to_json()))
            last_pair_id = row.pair_id
            num_simulated += row.is_simulated
            licences[row.licence] += 1
    return {
        "num_pairs": licences.total(),
        "num_simulated": num_simulated,
        "licences": dict(licences),
        "num_media": num_media,
        "pairs_sha256": table.sha256,
    }
