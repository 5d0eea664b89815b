"""Stage 2 of the loop: from a person's references to generation inputs, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from generator.curation.annotation import ClipAnnotation
from generator.curation.augmentation import Recipe, draw_recipe, possible_kinds
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
from generator.validation import Amount, record

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


@record
class Draw:
    """How instances are drawn.

    With a target, a described clip is drawn beside the references as the result to learn from, where the
    group has one that differs from the primary; its differences make the prompt. Otherwise 1 to 3 changes
    are drawn, away from what the primary shows where that is known.
    """

    count: Amount = Field(description="plans per person")
    seed: int = Field(description="people of different names draw differently")
    num_references: Annotated[int, Field(ge=1, le=MAX_REFERENCES)] | None = Field(
        default=None,
        description="with the primary; fewer where a person has fewer. None draws the number, too",
    )
    with_target: bool = False
    is_cropped: bool = Field(
        default=False, description="shown as crops (`draw_crops`): nobody knows the primary's camera shot"
    )


def draw_instances(group: IdentityGroup, draw: Draw, vocabulary: Vocabulary) -> list[InstancePlan]:
    """Draw different generation inputs for one person.

    Equal arguments give equal plans, and the first k of `count` plans are those of `count=k`. No two plans of
    a call are alike in references and asked changes.

    Args:
        group: the person; at least one reference.
        draw: how many, and of what kind.
        vocabulary: what may change, and its wording.

    Returns:
        `count` plans of 1 to 5 references each.

    Raises:
        ValueError: no reference, or fewer different plans exist than asked for.
    """
    if not group.references:
        raise ValueError(f"{group.name} has no reference to draw from")
    plans: list[InstancePlan] = []
    seen: set[tuple[object, ...]] = set()
    for index in range(draw.count):
        for attempt in range(_MAX_DRAWS):
            rng = random.Random(f"{draw.seed}/{group.name}/{index}/{attempt}")
            plan = _draw_instance(group, rng, draw, vocabulary)
            if (key := _key(plan)) not in seen:
                break
        else:
            raise ValueError(
                f"{group.name} gives only {index} different instances of the {draw.count} asked for"
            )
        seen.add(key)
        plans.append(plan)
    return plans


def draw_references(group: IdentityGroup, count: int, seed: int) -> tuple[Reference, ...]:
    """Choose references that stand for a person: the primary, then others of every kind in turn.

    Args:
        group: the person; at least one reference.
        count: how many; fewer where the person has fewer.
        seed: persons of different names draw differently.
    """
    rng = random.Random(f"{seed}/{group.name}/references")
    primary = _draw_primary(group, rng)
    others = [reference for reference in group.references if reference is not primary]
    return (primary, *_draw_assistants(others, count, rng))


def draw_observed(group: IdentityGroup, draw: Draw) -> list[InstancePlan]:
    """Draw plans whose prompts are still to be written, by whoever looks at the primary and the target.

    Args:
        group: the person; nothing needs to be described.
        draw: how many, and of what kind; every plan has a target.

    Returns:
        Up to `draw.count` different plans with an empty prompt: fewer where the person has fewer, none
        where there is no clip beside the primary.
    """
    plans: list[InstancePlan] = []
    seen: set[tuple[object, ...]] = set()
    for index in range(draw.count):
        for attempt in range(_MAX_DRAWS):
            rng = random.Random(f"{draw.seed}/{group.name}/{index}/{attempt}")
            plan = _draw_observed(group, draw.num_references, rng)
            if plan is not None and _key(plan) not in seen:
                seen.add(_key(plan))
                plans.append(plan)
                break
    return plans


def draw_crops(
    plan: InstancePlan, annotations: Mapping[str, ClipAnnotation], seed: int
) -> tuple[Recipe, ...]:
    """Turn each reference of a plan into a face image, a half-body portrait or a clip, at random.

    The primary becomes no face image where it can become something else: it must show what is to be kept.

    Args:
        plan: as drawn with `is_cropped`.
        annotations: of at least the plan's references, by their names.
        seed: of the draws.

    Returns:
        One recipe for the primary and for each assistant, in order.

    Raises:
        ValueError: nothing can be cut out of a reference; see `possible_kinds`.
    """
    recipes = []
    for position, name in enumerate((plan.primary, *plan.assistants)):
        rng = random.Random(f"{seed}/{_key(plan)}/{position}")
        kinds = possible_kinds(annotations[name])
        telling = [kind for kind in kinds if position or kind.shows_body]
        recipes.append(draw_recipe(annotations[name], seed=rng.getrandbits(32), kinds=telling or kinds))
    return tuple(recipes)


def _draw_instance(
    group: IdentityGroup, rng: random.Random, draw: Draw, vocabulary: Vocabulary
) -> InstancePlan:
    primary = _draw_primary(group, rng)
    others = [reference for reference in group.references if reference is not primary]
    target = _draw_target(primary, others, rng) if draw.with_target else None
    if draw.is_cropped:
        primary = _cropped(primary)
    if target is None:
        prompt = _draw_change(primary, rng, vocabulary)
    else:
        others.remove(target)
        prompt = _observed_change(primary, target, rng, vocabulary)
    return InstancePlan(
        primary=primary.reference_id,
        assistants=tuple(
            reference.reference_id for reference in _draw_assistants(others, draw.num_references, rng)
        ),
        prompt=prompt,
        target=target.reference_id if target else None,
    )


def _draw_observed(
    group: IdentityGroup, num_references: int | None, rng: random.Random
) -> InstancePlan | None:
    primary = _draw_primary(group, rng)
    others = [reference for reference in group.references if reference is not primary]
    clips = [other for other in others if other.kind.is_clip]
    if not clips:
        return None
    target = rng.choice(clips)
    others.remove(target)
    return InstancePlan(
        primary=primary.reference_id,
        assistants=tuple(item.reference_id for item in _draw_assistants(others, num_references, rng)),
        prompt=differential_prompt(None, {}, {}),
        target=target.reference_id,
    )


def _cropped(reference: Reference) -> Reference:
    """What is known of a crop: all that is known of its file, but how near the camera is."""
    if reference.elements is None:
        return reference
    known = {element: text for element, text in reference.elements.items() if element != "camera_shot"}
    return replace(reference, elements=known)


def _draw_primary(group: IdentityGroup, rng: random.Random) -> Reference:
    """The chosen one, or a clip or half-body portrait: they show more of what must be kept than a face."""
    chosen = [reference for reference in group.references if reference.reference_id == group.primary]
    telling = [reference for reference in group.references if reference.kind.shows_body]
    return rng.choice(chosen or telling or list(group.references))


def _draw_assistants(
    others: Sequence[Reference], num_references: int | None, rng: random.Random
) -> list[Reference]:
    """0 to 4 further references, every kind once before any kind twice."""
    most = min(MAX_REFERENCES - 1, len(others))
    number = rng.randint(0, most) if num_references is None else min(num_references - 1, most)
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
        if other.kind.is_clip and other.elements is not None and other.elements != primary.elements
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
    targets = {element: after[element] for element in ELEMENTS if after[element] != before.get(element)}
    return differential_prompt(before, targets, vocabulary.say(targets, rng))


def _key(plan: InstancePlan) -> tuple[object, ...]:
    """What makes two plans different: the wording alone does not."""
    changes = tuple((change.element, change.target) for change in plan.prompt.changed)
    return plan.primary, plan.assistants, plan.target, changes
