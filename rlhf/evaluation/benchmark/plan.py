"""How many of what a benchmark set has, and how a command line says it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, Self

from pydantic import Field, model_validator

from generator.records import MAX_REFERENCES
from generator.validation import Amount, Count, record
from rlhf.evaluation.records import Task


@record
class MakePlan:
    """How many of what a set has; the paper's numbers by default.

    Raises:
        ValueError: a number out of its range.
    """

    num_identities: Count = Field(default=50, description="people")
    num_references: int = Field(
        default=MAX_REFERENCES, ge=1, le=MAX_REFERENCES, description="of each person, the primary among them"
    )
    num_ipt2v: Amount = Field(default=50, description="prompts that ask for the person alone")
    num_iept2v: Amount = Field(default=50, description="prompts that name elements, too")
    seed: int = Field(default=0, description="another one gives other people, pairs and words")
    seeds: tuple[int, ...] = Field(default=(0,), description="of the videos of each instance")
    name: str = Field(default="", description="of the set; its maker has one where it is empty")
    version: str = Field(default="1", description="of what was changed on purpose")

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        if not self.num_prompts:
            raise ValueError("prompts are 0 0; give 0 or more of each, not 0 0")
        return self

    @property
    def num_prompts(self) -> int:
        """Of both tasks."""
        return self.num_ipt2v + self.num_iept2v

    @property
    def counts(self) -> dict[Task, int]:
        """Prompts of each task."""
        return {Task.IPT2V: self.num_ipt2v, Task.IEPT2V: self.num_iept2v}

    def to_json(self) -> dict[str, Any]:
        """What decides what is in the set, beside the people and the words."""
        return {name: value for name, value in asdict(self).items() if name not in ("name", "version")}


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a `MakePlan`."""
    plan = MakePlan()
    parser.add_argument("--identities", type=int, default=plan.num_identities, help="people (default 50)")
    parser.add_argument(
        "--references", type=int, default=plan.num_references, help="of each person, 1 to 5 (default 5)"
    )
    parser.add_argument(
        "--prompts",
        type=int,
        nargs=2,
        default=(plan.num_ipt2v, plan.num_iept2v),
        metavar=("IPT2V", "IEPT2V"),
        help="prompts of each task (default 50 50)",
    )
    parser.add_argument("--seed", type=int, default=plan.seed, help="another one gives another set")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=plan.seeds, help="of each instance's videos (default 0)"
    )
    parser.add_argument("--name", default=plan.name, help="of the set")
    parser.add_argument("--set-version", default=plan.version, help="of the set (default 1)")


def read_plan(options: dict[str, Any]) -> MakePlan:
    """The plan that `add_plan_arguments` asked for.

    Raises:
        ValueError: a number out of its range.
    """
    return MakePlan(
        num_identities=options["identities"],
        num_references=options["references"],
        num_ipt2v=options["prompts"][0],
        num_iept2v=options["prompts"][1],
        seed=options["seed"],
        seeds=tuple(options["seeds"]),
        name=options["name"],
        version=options["set_version"],
    )
