"""`instances.parquet`: the instances of a benchmark set as rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.frozen_set import encode_line
from generator.records import ELEMENTS
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.records import EvaluationInstance

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FILE = "instances.parquet"


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table whose columns are stated, not inferred."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a set's table.

    Raises:
        BenchmarkError: it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchmarkError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return rows


def rows_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """Of rows as JSON lines (hex): no version of Parquet changes it."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(encode_line(row))
    return digest.hexdigest()


def row_of(instance: EvaluationInstance, seeds: Sequence[int]) -> dict[str, Any]:
    """In the words of the table: every element has its column, and unknown states are null."""
    known = instance.expected
    expected = {element: known.get(element) for element in ELEMENTS} if known else None
    return {**instance.to_json(), "expected": expected, "seeds": list(seeds)}


def instance_of(row: Mapping[str, Any]) -> EvaluationInstance:
    """The inverse of `row_of`, less the seeds."""
    known = row["expected"] or {}
    expected = {element: state for element, state in known.items() if state is not None}
    return EvaluationInstance.from_json({**row, "expected": expected})


def common_seeds(rows: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The seeds that all instances have.

    Raises:
        BenchmarkError: they differ.
    """
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
