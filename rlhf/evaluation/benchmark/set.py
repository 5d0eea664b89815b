"""Benchmark sets: a folder that is the same for everybody who evaluates on it.

    benchmark.json      what the set is, how it was made, and the hashes that bind it
    instances.parquet   one row per instance
    media/              every reference and picture of an element once, named by its sha256

`python -m rlhf.evaluation.benchmark --help` makes one of drawn people, checks one, and brings in what other
models made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from generator.frozen_set import MediaFile, expect_file, place_media, staged
from generator.frozen_table import columns_of, read_table, rows_sha256, write_table
from generator.records import MAX_REFERENCES
from generator.validation import record
from rlhf.evaluation.benchmark.card import CARD_FILE, BenchmarkError, Card
from rlhf.evaluation.benchmark.table import TABLE_FILE, InstanceRow, common_seeds
from rlhf.evaluation.records import EvaluationInstance

#: What a set is without its media.
TABLES = (CARD_FILE, TABLE_FILE)
#: An instance's id names files.
_ID = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*")


@record
class Benchmark:
    """A set on disk whose rows are as they were written."""

    folder: Path = Field(description="where it lies")
    card: Card = Field(description="what it is")
    instances: tuple[EvaluationInstance, ...] = Field(
        description="in the order of the set; their paths start at folder, see resolve"
    )
    seeds: tuple[int, ...] = Field(description="of the videos that every instance is to be made with")

    @property
    def identity(self) -> dict[str, str]:
        """What a result says of the set that it was made on; see `check_same`."""
        return self.card.identity

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
    benchmark = read_tables(folder)
    for file in media_of(benchmark.instances, benchmark.folder):
        if check_media:
            expect_file(file.path, file.sha256, Card.remedy)
        elif not file.path.is_file():
            raise BenchmarkError(f"{file.path} is missing; {Card.remedy}")
    return benchmark


def read_tables(folder: Path | str) -> Benchmark:
    """Open a set of which perhaps only `TABLES` are there, and refuse one whose rows were altered.

    Raises:
        BenchmarkError: it is no set, or has other rows than were written; the message names what differs.
    """
    folder = Path(folder)
    card = Card.read(folder)
    items = list(read_table(folder / TABLE_FILE, Card.remedy))
    try:
        rows = [InstanceRow.from_json(item) for item in items]
        instances, seeds = tuple(row.instance for row in rows), common_seeds(rows)
        media_of(instances, folder)
    except ValueError as error:
        raise BenchmarkError(f"{folder / TABLE_FILE}: {error}; {Card.remedy}") from None
    if rows_sha256(items) != card.rows_sha256:
        raise BenchmarkError(f"{folder / TABLE_FILE} has other rows than {CARD_FILE} says; {Card.remedy}")
    _check_instances(instances)
    return Benchmark(folder, card, instances, seeds)


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
    rows = (InstanceRow.of(instance, seeds).to_json() for instance in instances)
    with staged(folder) as partial:
        for file in files.values():
            place_media(file, partial)
        card = replace(
            card,
            num_instances=len(instances),
            num_identities=len({instance.identity for instance in instances}),
            num_media=len(files),
            rows_sha256=write_table(rows, partial / TABLE_FILE, columns_of(InstanceRow)),
            sha256="",
        )
        card.write(partial)
    card.expect_in(folder)
    return read_benchmark(folder, check_media=False)


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
