"""`instances.parquet`: the instances of a benchmark set as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer

from generator.records import ELEMENTS
from generator.validation import record
from rlhf.evaluation.benchmark.card import BenchmarkError
from rlhf.evaluation.records import EvaluationInstance, States

TABLE_FILE = "instances.parquet"


def _all_seven(states: Mapping[str, str]) -> dict[str, str | None] | None:
    return {element: states.get(element) for element in ELEMENTS} if states else None


@record
class InstanceRow(EvaluationInstance):
    """An instance in the words of the table: every element has its column, and unknown states are null."""

    expected: Annotated[States, PlainSerializer(_all_seven)] = Field(default_factory=dict)
    seeds: tuple[int, ...] = Field(default=(), description="of the videos that it is to be made with")

    @classmethod
    def of(cls, instance: EvaluationInstance, seeds: Sequence[int]) -> Self:
        """The row of an instance."""
        return cls(**_values(instance), seeds=tuple(seeds))

    @property
    def instance(self) -> EvaluationInstance:
        """The row without its seeds."""
        return EvaluationInstance(**_values(self))


def _values(instance: EvaluationInstance) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(EvaluationInstance)}


def common_seeds(rows: Sequence[InstanceRow]) -> tuple[int, ...]:
    """The seeds that all instances have.

    Raises:
        BenchmarkError: they differ.
    """
    seeds = {row.seeds for row in rows}
    if len(seeds) != 1:
        raise BenchmarkError(f"instances have different seeds: {sorted(seeds)[:2]}; pairs need the same ones")
    return seeds.pop()
