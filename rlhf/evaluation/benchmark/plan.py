"""How many of what a benchmark set has, and how a command line says it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from generator.records import MAX_REFERENCES
from rlhf.evaluation.records import Task


@dataclass(frozen=True)
class MakePlan:
    """How many of what a set has; the paper's numbers by default.

    Attributes:
        num_identities: people.
        num_references: of each person, the primary among them.
        num_ipt2v: prompts that ask for the person alone.
        num_iept2v: prompts that name elements, too.
        seed: another one gives other people, pairs and words.
        seeds: of the videos of each instance.
        name: of the set; its maker has one where it is empty.
        version: of what was changed on purpose.

    Raises:
        ValueError: a number out of its range.
    """

    num_identities: int = 50
    num_references: int = MAX_REFERENCES
    num_ipt2v: int = 50
    num_iept2v: int = 50
    seed: int = 0
    seeds: tuple[int, ...] = (0,)
    name: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        """Refuse what is no set."""
        if self.num_identities < 1:
            raise ValueError(f"identities is {self.num_identities}; it must be at least 1")
        if not 1 <= self.num_references <= MAX_REFERENCES:
            raise ValueError(f"references is {self.num_references}; it must be from 1 to {MAX_REFERENCES}")
        if min(self.num_ipt2v, self.num_iept2v) < 0 or not self.num_prompts:
            raise ValueError(
                f"prompts are {self.num_ipt2v} {self.num_iept2v}; give 0 or more of each, not 0 0"
            )

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
