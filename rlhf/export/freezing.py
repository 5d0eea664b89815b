"""The exported set of preference pairs: a frozen, hashed folder that any trainer can read.

    pairs.jsonl       one pair a line, ascending pair_id
    pairs.parquet     the same rows, for `datasets.load_dataset("parquet", ...)`
    media/            every clip and photo once, named by its sha256
    manifest.json     counts, rule version, licences, hashes

The same set gives the same bytes: no time, no machine, sorted keys, LF.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from generator.frozen_set import MediaFile, copy_media, encode_line
from generator.media import MediaError, file_sha256
from rlhf.export.parquet import write_parquet
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes, row_from_json, row_to_json
from rlhf.export.rule import ExportRule
from rlhf.votes.consensus import RULE_VERSION

__all__ = [
    "Export",
    "ExportError",
    "ExportReference",
    "ExportRow",
    "ExportSample",
    "Manifest",
    "MediaFile",
    "TrackVotes",
    "read_export",
    "write_export",
]

FORMAT = "anyid-preference-1"


class ExportError(Exception):
    """A set cannot be written or read; the message is one line that names the value and the remedy."""


@dataclass(frozen=True)
class Manifest:
    """What a set holds and where it comes from.

    Attributes:
        num_pairs: exported pairs.
        num_simulated: those with any simulated vote.
        joint_states: pairs of the round per joint state, exported or not.
        reasons: pairs that were not exported per reason.
        licences: exported pairs per licence.
        num_media: distinct media files.
        rule_version: of consensus and Pareto rule.
        pairs_sha256: of `pairs.jsonl`, whose rows hold the sha256 of every media file.
        parquet_sha256: of `pairs.parquet`; not in `content_hash`, since Parquet names its writer's version.
        content_hash: sha256 of everything here but `parquet_sha256`: equal sets, equal hash.
        rule: by which the chosen videos were chosen; `pareto` is left out of `content_hash`, so that
            sets from before rules had names keep theirs.
    """

    num_pairs: int
    num_simulated: int
    joint_states: Mapping[str, int]
    reasons: Mapping[str, int]
    licences: Mapping[str, int]
    num_media: int
    rule_version: str
    pairs_sha256: str
    parquet_sha256: str
    content_hash: str = ""
    format: str = FORMAT
    rule: str = ExportRule.PARETO.value

    def __post_init__(self) -> None:
        """Derive the content hash where it is not given."""
        if not self.content_hash:
            object.__setattr__(self, "content_hash", self.derive_content_hash())

    def derive_content_hash(self) -> str:
        """Sha256 (hex) over the manifest's own facts."""
        facts = {k: v for k, v in asdict(self).items() if k not in ("content_hash", "parquet_sha256")}
        if self.rule == ExportRule.PARETO:
            del facts["rule"]
        return hashlib.sha256(encode_line(facts)).hexdigest()


@dataclass(frozen=True)
class Export:
    """A set on disk whose manifest and rows have been verified."""

    folder: Path
    manifest: Manifest

    def rows(self) -> Iterator[ExportRow]:
        """Read the pairs one by one; their files lie in the set's own media folder.

        Raises:
            ExportError: a row that this format does not allow.
        """
        with open(self.folder / "pairs.jsonl", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield row_from_json(json.loads(line), self.folder)
                except (KeyError, TypeError, ValueError) as error:
                    raise ExportError(f"{file.name} line {number} is not a pair: {error}") from None


def write_export(
    folder: Path | str,
    rows: Iterable[ExportRow],
    *,
    joint_states: Mapping[str, int],
    reasons: Mapping[str, int] | None = None,
    rule_version: str = RULE_VERSION,
    rule: ExportRule = ExportRule.PARETO,
) -> Manifest:
    """Write a set into a new folder; nothing is visible there until it is complete.

    Rows are streamed: memory does not grow with the number of pairs, only with the number of licences.
    Writing the same set again is allowed and changes nothing.

    Args:
        folder: the set's folder; its parent is made when missing.
        rows: the pairs, in ascending order of `pair_id`.
        joint_states: pairs per joint state, over everything that was considered.
        reasons: pairs that are not in the set, per reason.
        rule_version: of the rule behind the verdicts.
        rule: by which the chosen videos were chosen.

    Returns:
        The manifest as written.

    Raises:
        ExportError: rows out of order, a file that is missing or has other bytes than stated, or another set
            in `folder`.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    partial.chmod(0o750)
    (partial / "media").mkdir()
    try:
        tally = _write_rows(rows, partial)
        manifest = Manifest(
            num_pairs=tally.licences.total(),
            num_simulated=tally.num_simulated,
            joint_states={str(state): count for state, count in joint_states.items()},
            reasons=dict(reasons or {}),
            licences=dict(tally.licences),
            num_media=tally.num_media,
            rule_version=rule_version,
            pairs_sha256=file_sha256(partial / "pairs.jsonl"),
            parquet_sha256=file_sha256(partial / "pairs.parquet"),
            rule=rule.value,
        )
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (partial / "manifest.json").write_text(text, encoding="utf-8", newline="\n")
        try:
            os.rename(partial, folder)  # fails where a set is already: a folder is never replaced
        except OSError:
            if not folder.exists():
                raise
            _expect_same(folder, manifest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_export(folder: Path | str, *, verify_media: bool = True) -> Export:
    """Open a set and check that it is complete and unchanged.

    Args:
        folder: as written by `write_export`.
        verify_media: also hash every media file; a moment per gigabyte.

    Returns:
        The set.

    Raises:
        ExportError: something is missing or changed; the message names the file.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name, expected in (
        ("pairs.jsonl", manifest.pairs_sha256),
        ("pairs.parquet", manifest.parquet_sha256),
    ):
        expect_hash(folder / name, expected)
    export = Export(folder, manifest)
    if verify_media:
        verified: set[Path] = set()
        for row in export.rows():
            for file in row.files:
                if file.path not in verified:
                    expect_hash(file.path, file.sha256)
                    verified.add(file.path)
    return export


@dataclass
class _Tally:
    """What the rows of a set add up to."""

    licences: Counter[str] = field(default_factory=Counter)
    num_simulated: int = 0
    num_media: int = 0
    last_pair_id: int | None = None


def _write_rows(rows: Iterable[ExportRow], folder: Path) -> _Tally:
    tally = _Tally()
    with open(folder / "pairs.jsonl", "wb") as lines:
        for row in rows:
            if tally.last_pair_id is not None and row.pair_id <= tally.last_pair_id:
                raise ExportError(
                    f"pair {row.pair_id} comes after pair {tally.last_pair_id}; give pairs in ascending order"
                )
            tally.num_media += sum(place_media(file, folder) for file in row.files)
            lines.write(encode_line(row_to_json(row)))
            tally.last_pair_id = row.pair_id
            tally.num_simulated += row.is_simulated
            tally.licences[row.licence] += 1
    write_parquet(folder / "pairs.jsonl", folder / "pairs.parquet")
    return tally


def place_media(file: MediaFile, folder: Path) -> bool:
    """Copy a file into a set's media unless it is there, and verify it; say whether it was new.

    Raises:
        ExportError: it is missing, or has other bytes than stated.
    """
    target = folder / file.name
    if target.exists():
        return False
    try:
        copy_media(file, target)
    except MediaError as problem:
        raise ExportError(f"{problem.detail}; import it again or leave its pair out") from None
    return True


def _expect_same(folder: Path, manifest: Manifest) -> None:
    there = _read_manifest(folder)
    if there.content_hash != manifest.content_hash:
        raise ExportError(f"{folder} holds another set ({there.content_hash[:12]}); export into a new folder")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ExportError(f"{folder} is no exported set: it has no manifest.json") from None
    except (TypeError, json.JSONDecodeError) as error:
        raise ExportError(f"{path} is no manifest of format {FORMAT}: {error}") from None
    if manifest.format != FORMAT:
        raise ExportError(f"{path} has format {manifest.format!r}; this version reads {FORMAT}")
    if manifest.content_hash != manifest.derive_content_hash():
        raise ExportError(f"{path} does not match its own content_hash; export the set again")
    return manifest


def expect_hash(path: Path, expected: str) -> None:
    """Verify a file of a set.

    Raises:
        ExportError: it is missing or was changed.
    """
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        raise ExportError(f"{path} is missing; export the set again") from None
    if found != expected:
        raise ExportError(f"{path} has sha256 {found}, not {expected}; export the set again")
