"""People and prompts become instances: who gets which prompt, and what the instances are called."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from generator.frozen_set import MediaFile
from generator.records import IdentityGroup, ShownReference
from rlhf.evaluation.benchmark.prompts import BenchmarkPrompt
from rlhf.evaluation.records import EvaluationInstance, NamedElement, Task


def ask_of_people(
    people: Sequence[IdentityGroup], prompts: Sequence[BenchmarkPrompt], seed: int
) -> list[EvaluationInstance]:
    """Ask every prompt of one person.

    Args:
        people: with the references to show, the primary first, named by the sha256 of their files.
        prompts: for anybody.
        seed: of who gets which.

    Returns:
        One instance a prompt, in their order; paths are those that a set gives the people's files.
    """
    files = [
        [MediaFile(Path(item.path), item.reference_id).name for item in person.references]
        for person in people
    ]
    numbers: Counter[Task] = Counter()
    instances = []
    for prompt, owner in zip(prompts, pair_up(len(prompts), len(people), seed), strict=True):
        names = files[owner]
        kinds = [item.kind for item in people[owner].references]
        instances.append(
            EvaluationInstance(
                instance_id=instance_id(prompt.task, numbers[prompt.task]),
                prompt=prompt.text,
                references=tuple(map(ShownReference, names, kinds)),
                id_group=tuple(names),
                changed=prompt.changed,
                identity=people[owner].name,
                task=prompt.task,
                standard_prompt=prompt.standard,
                elements=tuple(NamedElement(name) for name in prompt.named),
            )
        )
        numbers[prompt.task] += 1
    return instances


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
