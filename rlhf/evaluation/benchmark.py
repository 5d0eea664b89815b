"""Benchmark sets: a folder that is the same for everybody who evaluates on it.

    benchmark.json      what the set is, how it was made, and the hashes that bind it
    instances.parquet   one row an instance
    media/              every reference and picture of an element once, named by its sha256

`python -m rlhf.evaluation.benchmark --help` makes one of drawn people, checks one, and brings in what other
models made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.frozen_set import MEDIA_FOLDER, MediaFile, copy_media, encode_line
from generator.media import MediaError, file_sha256
from generator.records import ELEMENTS, MAX_REFERENCES
from rlhf.evaluation.records import EvaluationInstance

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "anyid-benchmark-1"
CARD_FILE = "benchmark.json"
TABLE_FILE = "instances.parquet"
#: An instance's id names files.
_ID = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*")


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


@dataclass(frozen=True)
class Benchmark:
    """A set on disk whose rows are as they were written.

    Attributes:
        folder: where it lies.
        card: what it is.
        instances: in the order of the set; their paths start at `folder`, see `resolve`.
        seeds: of the videos that every instance is to be made with.
    """

    folder: Path
    card: Card
    instances: tuple[EvaluationInstance, ...]
    seeds: tuple[int, ...]

    @property
    def identity(self) -> dict[str, str]:
        """What a result says of the set that it was made on; see `check_same`."""
        return {"name": self.card.name, "sha256": self.card.sha256}

    def resolve(self, path: str) -> Path:
        """The file of a path that an instance names."""
        return self.folder / path


def read_benchmark(folder: Path | str, *, check_media: bool = True) -> Benchmark:
    """Open a set, and refuse one that was altered.

    Args:
        folder: as written by `write_benchmark`.
        check_media: also read every media file and hold it against its hash; without, they only must be
            there.

    Raises:
        BenchmarkError: it is no set, or not as it was written; the message names what differs.
    """
    folder = Path(folder)
    card = _read_card(folder)
    rows = _read_rows(folder / TABLE_FILE)
    if _rows_sha256(rows) != card.rows_sha256:
        raise BenchmarkError(f"{folder / TABLE_FILE} has other rows than {CARD_FILE} says; get the set again")
    try:
        instances = tuple(_instance(row) for row in rows)
        files = media_of(instances, folder)
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{folder / TABLE_FILE}: {error}") from None
    _check_instances(instances)
    for file in files:
        _check_file(file, check_media)
    return Benchmark(folder, card, instances, _common_seeds(rows))


def write_benchmark(
    folder: Path | str,
    card: Card,
    instances: Sequence[EvaluationInstance],
    seeds: Sequence[int],
    media: Iterable[MediaFile],
) -> Benchmark:
    """Write a set atomically; a folder that holds the same one already is left as it is.

    Args:
        folder: of the set; its parent is made when missing.
        card: without counts and hashes.
        instances: whose paths are the names of `media`.
        seeds: of the videos of each instance.
        media: at least every file that the instances name.

    Returns:
        The set as written.

    Raises:
        BenchmarkError: nothing to write, a file that is missing or has other bytes than stated, or another
            set in `folder`.
    """
    folder = Path(folder)
    _check_instances(instances)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise BenchmarkError(f"seeds are {list(seeds)}; give at least one, none twice, none below 0")
    wanted = {file.name for file in media_of(instances, folder)}
    files = {file.name: file for file in media if file.name in wanted}
    rows = [_row(instance, seeds) for instance in instances]
    full = {
        **asdict(card),
        "num_instances": len(rows),
        "num_identities": len({instance.identity for instance in instances}),
        "num_media": len(files),
        "rows_sha256": _rows_sha256(rows),
    }
    card = Card(**{**full, "sha256": Card(**full).derive_sha256()})
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    partial.chmod(0o755)
    try:
        _write(partial, card, rows, files.values())
        try:
            os.rename(partial, folder)  # fails where a set is already: a folder is never replaced
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    there = read_benchmark(folder, check_media=False)
    if there.card.sha256 != card.sha256:
        raise BenchmarkError(f"{folder} holds another set, {_say(there.identity)}; write into a new folder")
    return there


def check_same(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    """Refuse to compare what was made on different sets.

    Args:
        first: `Benchmark.identity`, or `set` of a result.
        second: likewise.

    Raises:
        BenchmarkError: they differ.
    """
    if first["sha256"] != second["sha256"]:
        raise BenchmarkError(
            f"{_say(first)} and {_say(second)} are different sets; compare what was made on one set"
        )


def media_of(instances: Iterable[EvaluationInstance], folder: Path) -> list[MediaFile]:
    """Every file that instances name, once, in order.

    Raises:
        ValueError: a path that does not lie in the media folder under its own hash.
    """
    paths = {
        path: None
        for instance in instances
        for path in (
            *(path for path, _ in instance.references),
            *instance.id_group,
            *(element.path for element in instance.elements if element.path is not None),
        )
    }
    return [MediaFile.from_json({"path": path, "sha256": Path(path).stem}, folder) for path in paths]


def _say(of_set: Mapping[str, str]) -> str:
    return f"{of_set['name']} ({of_set['sha256'][:12]})"


def _check_instances(instances: Sequence[EvaluationInstance]) -> None:
    if not instances:
        raise BenchmarkError("a set without an instance measures nothing; give at least one prompt")
    seen: set[str] = set()
    for instance in instances:
        name = instance.instance_id
        if not _ID.fullmatch(name) or name in seen:
            raise BenchmarkError(
                f"instance id {name!r} is there twice or is no file name; use letters and digits"
            )
        seen.add(name)
        if not 1 <= len(instance.references) <= MAX_REFERENCES or not instance.id_group:
            raise BenchmarkError(
                f"instance {name} has {len(instance.references)} references and an ID-group of "
                f"{len(instance.id_group)}; it needs 1 to {MAX_REFERENCES} references of a group"
            )


def _check_file(file: MediaFile, check_content: bool) -> None:
    if not file.path.is_file():
        raise BenchmarkError(f"{file.path} is missing; get the set again")
    if check_content and file_sha256(file.path) != file.sha256:
        raise BenchmarkError(f"{file.path} was altered: its sha256 is not its name; get the set again")


def _read_card(folder: Path) -> Card:
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


def _write(folder: Path, card: Card, rows: list[dict[str, Any]], files: Iterable[MediaFile]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / MEDIA_FOLDER).mkdir()
    for file in files:
        try:
            copy_media(file, folder / file.name)
        except MediaError as problem:
            raise BenchmarkError(f"{problem.detail}; import it again") from None
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), folder / TABLE_FILE)
    text = json.dumps(asdict(card), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8", newline="\n")


def _read_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchmarkError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return rows


def _rows_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(encode_line(row))
    return digest.hexdigest()


def _row(instance: EvaluationInstance, seeds: Sequence[int]) -> dict[str, Any]:
    """In the words of the table: every element has its column, and unknown states are null."""
    known = instance.expected
    expected = {element: known.get(element) for element in ELEMENTS} if known else None
    return {**instance.to_json(), "expected": expected, "seeds": list(seeds)}


def _instance(row: Mapping[str, Any]) -> EvaluationInstance:
    known = row["expected"] or {}
    expected = {element: state for element, state in known.items() if state is not None}
    return EvaluationInstance.from_json({**row, "expected": expected})


def _common_seeds(rows: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    seeds = {tuple(row["seeds"]) for row in rows}
    if len(seeds) != 1:
        raise BenchmarkError(f"instances have different seeds: {sorted(seeds)[:2]}; pairs need the same ones")
    return seeds.pop()


def _schema() -> pa.Schema:
    """Columns in the order in which a person reads an instance."""
    import pyarrow as pa

    text = pa.string()
    file: list[tuple[str, pa.DataType]] = [("path", text)]
    columns: list[tuple[str, pa.DataType]] = [
        ("instance_id", text),
        ("identity", text),
        ("task", text),
        ("prompt", text),
        ("standard_prompt", text),
        ("references", pa.list_(pa.struct([*file, ("kind", text)]))),
        ("id_group", pa.list_(pa.struct(file))),
        ("elements", pa.list_(pa.struct([("name", text), *file]))),
        ("expected", pa.struct([(element, text) for element in ELEMENTS])),
        ("changed", pa.list_(text)),
        ("seeds", pa.list_(pa.int64())),
    ]
    return pa.schema(columns)


if __name__ == "__main__":
    from rlhf.evaluation.benchmark_command import main

    sys.exit(main(sys.argv[1:]))
