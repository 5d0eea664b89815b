"""`instances.parquet`: the instances of a benchmark set as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.records import ELEMENTS
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.records import EvaluationInstance

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FILE = "instances.parquet"


def row_of(instance: EvaluationInstance, seeds: Sequence[int]) -> dict[str, Any]:
    """In the words of the table: every element has its column, and unknown states are null."""
    known = instance.expected
    expected = {element: known.get(element) for element in ELEMENTS} if known else None
    return {**instance.to_json(), "expected": expected, "seeds": list(seeds)}


def instance_of(row: Mapping[str, Any]) -> EvaluationInstance:
    """The inverse of `row_of`, less the seeds."""
    known = row["expected"] or {}
    expected = {element: state for element, state in known.items() if state is not None}
    own = {name: value for name, value in row.items() if name != "seeds"}
    return EvaluationInstance.from_json({**own, "expected": expected})


def common_seeds(rows: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The seeds that all instances have.

    Raises:
        BenchmarkError: they differ.
    """
    seeds = {tuple(row["seeds"]) for row in rows}
    if len(seeds) != 1:
        raise BenchmarkError(f"instances have different seeds: {sorted(seeds)[:2]}; pairs need the same ones")
    return seeds.pop()


def columns() -> list[tuple[str, pa.DataType]]:
    """In the order in which a person reads an instance."""
    import pyarrow as pa

    text = pa.string()
    file: list[tuple[str, pa.DataType]] = [("path", text)]
    return [
        *((name, text) for name in ("instance_id", "identity", "task", "prompt", "standard_prompt")),
        ("references", pa.list_(pa.struct([*file, ("kind", text)]))),
        ("id_group", pa.list_(pa.struct(file))),
        ("elements", pa.list_(pa.struct([("name", text), *file]))),
        ("expected", pa.struct([(element, text) for element in ELEMENTS])),
        ("changed", pa.list_(text)),
        ("seeds", pa.list_(pa.int64())),
    ]
