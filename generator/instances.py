"""Stage 2 of the loop: from a person's references to generation inputs, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from generator.prompts.differential import differential_prompt
from generator.records import (
    ELEMENTS,
    MAX_REFERENCES,
    DifferentialPrompt,
    IdentityGroup,
    InstancePlan,
    Reference,
    ReferenceKind,
)

MAX_CHANGES = 3

#: Draws of one instance before a person counts as exhausted.
_MAX_DRAWS = 200


@dataclass(frozen=True)
class Vocabulary:
    """What the elements can be, and how a change is said.

    Attributes:
        states: the states of each element that may change.
        phrase: (element, state, index) -> one sentence; equal indices give equal wording.
    """

    states: Mapping[str, Sequence[str]]
    phrase: Callable[[str, str, int], str]

    def say(self, targets: Mapping[str, str], rng: random.Random) -> dict[str, str]:
        """One sentence for each target."""
        return {
            element: self.phrase(element, state, rng.randrange(1 << 16)) for element, state in targets.items()
        }


def draw_instances(
    group: IdentityGroup, *, count: int, seed: int, vocabulary: Vocabulary, with_target: bool = False
) -> list[InstancePlan]:
    """Draw different generation inputs for one person.

    Equal arguments give equal plans, and the first k of `count` plans are those of `count=k`. No two plans of
    a call are alike in references and asked changes.

    Args:
        group: the person; at least one reference.
        count: plans to draw.
        seed: of the draws; persons of different names draw differently.
        vocabulary: what may change, and its wording.
        with_target: draw a described clip beside the references as the result to learn from, where the group
            has one that differs from the primary; its differences make the prompt. Otherwise 1 to 3 changes
            are drawn, away from what the primary shows where that is known.

    Returns:
        `count` plans of 1 to 5 references each.

    Raises:
        ValueError: no reference, a negative count, or fewer different plans exist than asked for.
    """
    if not group.references:
        raise ValueError(f"{group.name} has no reference to draw from")
    if count < 0:
        raise ValueError(f"count is {count}; it must be at least 0")
    plans: list[InstancePlan] = []
    seen: set[tuple[object, ...]] = set()
    for index in range(count):
        for attempt in range(_MAX_DRAWS):
            rng = random.Random(f"{seed}/{group.name}/{index}/{attempt}")
            plan = _draw_instance(group.references, rng, vocabulary, with_target)
            if (key := _key(plan)) not in seen:
                break
        else:
            raise ValueError(f"{group.name} gives only {index} different instances of the {count} asked for")
        seen.add(key)
        plans.append(plan)
    return plans


def _draw_instance(
    references: Sequence[Reference], rng: random.Random, vocabulary: Vocabulary, with_target: bool
) -> InstancePlan:
    primary = _draw_primary(references, rng)
    others = [reference for reference in references if reference is not primary]
    target = _draw_target(primary, others, rng) if with_target else None
    if target is None:
        prompt = _draw_change(primary, rng, vocabulary)
    else:
        others.remove(target)
        prompt = _observed_change(primary, target, rng, vocabulary)
    return InstancePlan(
        primary=primary.reference_id,
        assistants=tuple(reference.reference_id for reference in _draw_assistants(others, rng)),
        prompt=prompt,
        target=target.reference_id if target else None,
    )


def _draw_primary(references: Sequence[Reference], rng: random.Random) -> Reference:
    """A clip or half-body portrait where there is one: it shows more of what must be kept than a face."""
    telling = [reference for reference in references if reference.kind is not ReferenceKind.PHOTO]
    return rng.choice(telling or list(references))


def _draw_assistants(others: Sequence[Reference], rng: random.Random) -> list[Reference]:
    """0 to 4 further references, every kind once before any kind twice."""
    number = rng.randint(0, min(MAX_REFERENCES - 1, len(others)))
    shuffled = rng.sample(list(others), len(others))
    taken: dict[ReferenceKind, int] = {}
    ranked = []
    for place, reference in enumerate(shuffled):
        turn = taken.get(reference.kind, 0)
        taken[reference.kind] = turn + 1
        ranked.append((turn, place, reference))
    ranked.sort(key=lambda item: item[:2])
    return [reference for _, _, reference in ranked[:number]]


def _draw_target(primary: Reference, others: Sequence[Reference], rng: random.Random) -> Reference | None:
    if primary.elements is None:
        return None
    eligible = [
        other
        for other in others
        if other.kind is ReferenceKind.CLIP
        and other.elements is not None
        and other.elements != primary.elements
    ]
    return rng.choice(eligible) if eligible else None


def _draw_change(primary: Reference, rng: random.Random, vocabulary: Vocabulary) -> DifferentialPrompt:
    shown = primary.elements or {}
    options = {
        element: [state for state in vocabulary.states[element] if state != shown.get(element)]
        for element in ELEMENTS
        if element in vocabulary.states
    }
    changeable = [element for element, states in options.items() if states]
    if not changeable:
        raise ValueError("the vocabulary has no state to change to; give at least two states for an element")
    number = rng.randint(1, min(MAX_CHANGES, len(changeable)))
    targets = {element: rng.choice(options[element]) for element in rng.sample(changeable, number)}
    return differential_prompt(primary.elements, targets, vocabulary.say(targets, rng))


def _observed_change(
    primary: Reference, target: Reference, rng: random.Random, vocabulary: Vocabulary
) -> DifferentialPrompt:
    before, after = primary.elements or {}, target.elements or {}
    targets = {element: after[element] for element in ELEMENTS if after[element] != before[element]}
    return differential_prompt(before, targets, vocabulary.say(targets, rng))


def _key(plan: InstancePlan) -> tuple[object, ...]:
    """What makes two plans different: the wording alone does not."""
    changes = tuple((change.element, change.target) for change in plan.prompt.changed)
    return plan.primary, plan.assistants, plan.target, changes
