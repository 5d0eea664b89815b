from __future__ import annotations

from collections import Counter

import pytest

from generator.instances import Vocabulary, draw_instances
from generator.prompts.differential import make_prompt
from generator.records import ELEMENTS, IdentityGroup, InstancePlan, Reference, ReferenceKind

STATES = {element: tuple(f"{element} {index}" for index in range(4)) for element in ELEMENTS}
VOCABULARY = Vocabulary(STATES, lambda element, state, index: f"{element} is now {state}, said {index % 3}.")


def looks(shift: int) -> dict[str, str]:
    """A description in which every third element follows `shift`."""
    return {
        element: states[(shift if index % 3 == 0 else 0) % len(states)]
        for index, (element, states) in enumerate(STATES.items())
    }


def person(name: str = "ada", *, clips: int = 4, photos: int = 3, half_bodies: int = 2) -> IdentityGroup:
    kinds = (
        [ReferenceKind.CLIP] * clips
        + [ReferenceKind.PHOTO] * photos
        + [ReferenceKind.HALF_BODY] * half_bodies
    )
    return IdentityGroup(
        name,
        tuple(Reference(f"{kind}_{index}", kind, elements=looks(index)) for index, kind in enumerate(kinds)),
    )


def undescribed(*kinds: ReferenceKind) -> IdentityGroup:
    return IdentityGroup("real", tuple(Reference(f"{index}", kind) for index, kind in enumerate(kinds)))


def kind_of(reference_id: str) -> str:
    return reference_id.rpartition("_")[0]


def elements_of(group: IdentityGroup) -> dict[str, dict[str, str]]:
    return {reference.reference_id: dict(reference.elements or {}) for reference in group.references}


def test_it_draws_the_same_plans_from_the_same_seed() -> None:
    draw = [draw_instances(person(), count=10, seed=5, vocabulary=VOCABULARY) for _ in range(2)]
    assert draw[0] == draw[1]
    assert draw_instances(person(), count=4, seed=5, vocabulary=VOCABULARY) == draw[0][:4]


def test_it_draws_otherwise_for_other_seeds_and_people() -> None:
    plans = draw_instances(person(), count=5, seed=5, vocabulary=VOCABULARY)
    assert plans != draw_instances(person(), count=5, seed=6, vocabulary=VOCABULARY)
    assert plans != draw_instances(person("bob"), count=5, seed=5, vocabulary=VOCABULARY)


@pytest.mark.parametrize("with_target", [False, True])
def test_it_keeps_every_promise_of_a_plan(with_target: bool) -> None:
    group = person()
    elements = elements_of(group)
    plans = draw_instances(group, count=300, seed=0, vocabulary=VOCABULARY, with_target=with_target)
    for plan in plans:
        used = [plan.primary, *plan.assistants]
        assert 1 <= len(used) <= 5
        assert len(set(used)) == len(used)
        assert kind_of(plan.primary) in ("clip", "half_body")
        assert plan.target not in used
        assert (plan.target is not None) == with_target
        assert [change.element for change in plan.prompt.elements] == list(ELEMENTS)
        assert plan.prompt.text == make_prompt(
            {change.element: change.statement for change in plan.prompt.changed}
        )
        for change in plan.prompt.elements:
            assert change.primary == elements[plan.primary][change.element]
            assert change.changed == (change.target != change.primary)
    assert Counter(1 + len(plan.assistants) for plan in plans).keys() == {1, 2, 3, 4, 5}
    assert len({(p.primary, p.assistants, p.target, targets(p)) for p in plans}) == 300


def targets(plan: InstancePlan) -> tuple[tuple[str, str | None], ...]:
    return tuple((change.element, change.target) for change in plan.prompt.changed)


def test_it_asks_for_one_to_three_changes() -> None:
    plans = draw_instances(person(), count=300, seed=0, vocabulary=VOCABULARY)
    assert Counter(len(plan.prompt.changed) for plan in plans).keys() == {1, 2, 3}
    assert {change.element for plan in plans for change in plan.prompt.changed} == set(ELEMENTS)


def test_it_takes_the_changes_that_a_target_shows() -> None:
    group = person()
    elements = elements_of(group)
    for plan in draw_instances(group, count=100, seed=0, vocabulary=VOCABULARY, with_target=True):
        assert plan.target is not None
        assert kind_of(plan.target) == "clip"
        assert plan.prompt.changed
        assert {change.element: change.target for change in plan.prompt.elements} == elements[plan.target]


def test_it_mixes_the_kinds_of_assistants() -> None:
    for plan in draw_instances(person(), count=200, seed=1, vocabulary=VOCABULARY):
        kinds = Counter(kind_of(name) for name in plan.assistants)
        assert max(kinds.values(), default=0) - min((kinds[kind] for kind in ReferenceKind), default=0) <= 2
        if len(plan.assistants) == 3:
            assert len(kinds) == 3


def test_it_works_with_a_single_photo_that_nobody_described() -> None:
    plans = draw_instances(
        undescribed(ReferenceKind.PHOTO), count=20, seed=0, vocabulary=VOCABULARY, with_target=True
    )
    assert {plan.primary for plan in plans} == {"0"}
    assert {plan.assistants for plan in plans} == {()}
    assert {plan.target for plan in plans} == {None}
    assert {change.primary for plan in plans for change in plan.prompt.elements} == {None}


def test_it_prefers_a_clip_to_a_photo_as_primary() -> None:
    group = undescribed(ReferenceKind.PHOTO, ReferenceKind.PHOTO, ReferenceKind.CLIP)
    plans = draw_instances(group, count=20, seed=0, vocabulary=VOCABULARY)
    assert {plan.primary for plan in plans} == {"2"}


def test_it_asks_only_for_what_the_vocabulary_knows() -> None:
    small = Vocabulary({"action": ("waving",)}, VOCABULARY.phrase)
    (plan,) = draw_instances(undescribed(ReferenceKind.PHOTO), count=1, seed=0, vocabulary=small)
    assert targets(plan) == (("action", "waving"),)
    with pytest.raises(ValueError, match="gives only 1 different instances of the 2 asked for"):
        draw_instances(undescribed(ReferenceKind.PHOTO), count=2, seed=0, vocabulary=small)
    with pytest.raises(ValueError, match="no state to change to"):
        draw_instances(
            undescribed(ReferenceKind.PHOTO), count=1, seed=0, vocabulary=Vocabulary({}, small.phrase)
        )


def test_it_refuses_people_without_references_and_negative_counts() -> None:
    with pytest.raises(ValueError, match="nobody has no reference"):
        draw_instances(IdentityGroup("nobody", ()), count=1, seed=0, vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match="count is -1"):
        draw_instances(person(), count=-1, seed=0, vocabulary=VOCABULARY)
    assert draw_instances(person(), count=0, seed=0, vocabulary=VOCABULARY) == []


def test_it_speaks_the_language_of_the_portrait_world() -> None:
    world = pytest.importorskip("generator.portraits.world")
    vocabulary = Vocabulary(world.ELEMENT_STATES, world.phrase_change)
    for plan in draw_instances(undescribed(ReferenceKind.CLIP), count=50, seed=0, vocabulary=vocabulary):
        for change in plan.prompt.changed:
            assert change.target in world.ELEMENT_STATES[change.element]
            assert change.target in change.statement
