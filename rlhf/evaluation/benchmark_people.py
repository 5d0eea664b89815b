"""People and prompts become a benchmark set: who gets which prompt, and what the instances are called."""

from __future__ import annotations

import random
from collections.abc import Mapping
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

    def to_json(self) -> Mapping[str, Any]:
        """What decides what is in the set, beside the people and the words."""
        return {name: value for name, value in asdict(self).items() if name not in ("name", "version")}


def pair_up(num_prompts: int, num_identities: int, seed: int) -> list[int]:
    """Who each prompt is for: everybody as often as everybody else, give or take one, in a drawn order.

    Returns:
        The number of a person, from 0, for each prompt.
    """
    rng = random.Random(f"{seed}/pairs")
    owners: list[int] = []
    while len(owners) < num_prompts:
        owners += rng.sample(range(num_identities), num_identities)
    return owners[:num_prompts]


def instance_id(task: Task, number: int) -> str:
    """The name of the instance of a prompt: `ipt2v-001` for number 0."""
    return f"{task.lower()}-{number + 1:03d}"
