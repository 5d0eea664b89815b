"""Stage 2 of the loop: from a person's references to generation inputs, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
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
)
from generator.validation import Amount, record

MAX_CHANGES = 3

#: Draws of one instance before a person counts as exhausted.
_MAX_DRAWS = 200


@dataclass(frozen=True)
class Vocabulary:
    """What the elements can be, and how a change is said."""

    states: Mapping[str, Sequence[str]]  # the states of each element that may change
    #: (element, state, index) -> one sentence; equal indices give equal wording.
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
    for plan in _different(group, draw, lambda rng: _draw_instance(group, rng, draw, vocabulary)):
        if plan is None:
            raise ValueError(
                f"{group.name} gives only {len(plans)} different instances of the {draw.count} asked for"
            )
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
    primary, others = _draw_primary(group, rng)
    return (primary, *_draw_assistants(others, count, rng))


def draw_observed(group: IdentityGroup, draw: Draw) -> list[InstancePlan]:
    """Draw plans whose prompts are still to be written, by whoever looks at the primary and the target.

    Nothing needs to be described. Every plan has a target and an empty prompt; there are fewer than
    `draw.count` where the person has fewer, and none where there is no clip beside the primary.
    """
    plans = _different(group, draw, lambda rng: _draw_observed(group, draw.num_references, rng))
    return [plan for plan in plans if plan is not None]


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


def _different(
    group: IdentityGroup, draw: Draw, make: Callable[[random.Random], InstancePlan | None]
) -> Iterator[InstancePlan | None]:
    """For each index a plan that is unlike those before, or None where no draw gives one."""
    seen: set[tuple[object, ...]] = set()
    for index in range(draw.count):
        chances = (random.Random(f"{draw.seed}/{group.name}/{index}/{n}") for n in range(_MAX_DRAWS))
        plans = (plan for plan in map(make, chances) if plan is not None and _key(plan) not in seen)
        plan = next(plans, None)
        if plan is not None:
            seen.add(_key(plan))
        yield plan


def _draw_instance(
    group: IdentityGroup, rng: random.Random, draw: Draw, vocabulary: Vocabulary
) -> InstancePlan:
    primary, others = _draw_primary(group, rng)
    target = _draw_target(primary, others, rng) if draw.with_target else None
    if draw.is_cropped:
        primary = _cropped(primary)
    if target is None:
        prompt = _draw_change(primary, rng, vocabulary)
    else:
        others.remove(target)
        prompt = _observed_change(primary, target, rng, vocabulary)
    return _plan(primary, _draw_assistants(others, draw.num_references, rng), prompt, target)


def _draw_observed(
    group: IdentityGroup, num_references: int | None, rng: random.Random
) -> InstancePlan | None:
    primary, others = _draw_primary(group, rng)
    clips = [other for other in others if other.kind.is_clip]
    if not clips:
        return None
    target = rng.choice(clips)
    others.remove(target)
    assistants = _draw_assistants(others, num_references, rng)
    return _plan(primary, assistants, differential_prompt(None, {}, {}), target)


def _plan(
    primary: Reference, assistants: Sequence[Reference], prompt: DifferentialPrompt, target: Reference | None
) -> InstancePlan:
    return InstancePlan(
        primary=primary.reference_id,
        assistants=tuple(assistant.reference_id for assistant in assistants),
        prompt=prompt,
        target=target.reference_id if target else None,
    )


def _cropped(reference: Reference) -> Reference:
    """What is known of a crop: all that is known of its file, but how near the camera is."""
    if reference.elements is None:
        return reference
    known = {element: text for element, text in reference.elements.items() if element != "camera_shot"}
    return replace(reference, elements=known)


def _draw_primary(group: IdentityGroup, rng: random.Random) -> tuple[Reference, list[Reference]]:
    """The chosen one, or a clip or half-body portrait (they show more than a face), and the others."""
    chosen = [reference for reference in group.references if reference.reference_id == group.primary]
    telling = [reference for reference in group.references if reference.kind.shows_body]
    primary = rng.choice(chosen or telling or list(group.references))
    return primary, [reference for reference in group.references if reference is not primary]


def _draw_assistants(
    others: Sequence[Reference], num_references: int | None, rng: random.Random
) -> list[Reference]:
    """0 to 4 further references, every kind once before any kind twice."""
    most = min(MAX_REFERENCES - 1, len(others))
    number = rng.randint(0, most) if num_references is None else min(num_references - 1, most)
    shuffled = rng.sample(list(others), len(others))
    kinds = [reference.kind for reference in shuffled]
    turns = [kinds[:index].count(kind) for index, kind in enumerate(kinds)]
    ranked = sorted(range(len(shuffled)), key=turns.__getitem__)
    return [shuffled[index] for index in ranked[:number]]


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
