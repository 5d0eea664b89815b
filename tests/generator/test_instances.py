from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from generator.curation.annotation import ClipAnnotation
from generator.instances import Draw, Vocabulary, draw_crops, draw_instances
from generator.prompts.differential import make_prompt
from generator.records import ELEMENTS, IdentityGroup, InstancePlan, Reference, ReferenceKind
from tests.generator.curation.annotations import annotate, face, human

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
    draw = [draw_instances(person(), Draw(count=10, seed=5), VOCABULARY) for _ in range(2)]
    assert draw[0] == draw[1]
    assert draw_instances(person(), Draw(count=4, seed=5), VOCABULARY) == draw[0][:4]


def test_it_draws_otherwise_for_other_seeds_and_people() -> None:
    plans = draw_instances(person(), Draw(count=5, seed=5), VOCABULARY)
    assert plans != draw_instances(person(), Draw(count=5, seed=6), VOCABULARY)
    assert plans != draw_instances(person("bob"), Draw(count=5, seed=5), VOCABULARY)


@pytest.mark.parametrize("with_target", [False, True])
def test_it_keeps_every_promise_of_a_plan(with_target: bool) -> None:
    group = person()
    elements = elements_of(group)
    plans = draw_instances(group, Draw(count=300, seed=0, with_target=with_target), VOCABULARY)
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
    plans = draw_instances(person(), Draw(count=300, seed=0), VOCABULARY)
    assert Counter(len(plan.prompt.changed) for plan in plans).keys() == {1, 2, 3}
    assert {change.element for plan in plans for change in plan.prompt.changed} == set(ELEMENTS)


def test_it_takes_the_changes_that_a_target_shows() -> None:
    group = person()
    elements = elements_of(group)
    for plan in draw_instances(group, Draw(count=100, seed=0, with_target=True), VOCABULARY):
        assert plan.target is not None
        assert kind_of(plan.target) == "clip"
        assert plan.prompt.changed
        assert {change.element: change.target for change in plan.prompt.elements} == elements[plan.target]


def test_it_mixes_the_kinds_of_assistants() -> None:
    for plan in draw_instances(person(), Draw(count=200, seed=1), VOCABULARY):
        kinds = Counter(kind_of(name) for name in plan.assistants)
        assert max(kinds.values(), default=0) - min((kinds[kind] for kind in ReferenceKind), default=0) <= 2
        if len(plan.assistants) == 3:
            assert len(kinds) == 3


def test_it_works_with_a_single_photo_that_nobody_described() -> None:
    plans = draw_instances(
        undescribed(ReferenceKind.PHOTO), Draw(count=20, seed=0, with_target=True), VOCABULARY
    )
    assert {plan.primary for plan in plans} == {"0"}
    assert {plan.assistants for plan in plans} == {()}
    assert {plan.target for plan in plans} == {None}
    assert {change.primary for plan in plans for change in plan.prompt.elements} == {None}


def test_it_prefers_a_clip_to_a_photo_as_primary() -> None:
    group = undescribed(ReferenceKind.PHOTO, ReferenceKind.PHOTO, ReferenceKind.CLIP)
    plans = draw_instances(group, Draw(count=20, seed=0), VOCABULARY)
    assert {plan.primary for plan in plans} == {"2"}


def test_it_takes_the_primary_that_somebody_chose() -> None:
    group = replace(person(), primary="photo_5")
    plans = draw_instances(group, Draw(count=20, seed=0, with_target=True), VOCABULARY)
    assert {plan.primary for plan in plans} == {"photo_5"}
    assert not any("photo_5" in (plan.target, *plan.assistants) for plan in plans)


def test_it_asks_only_for_what_the_vocabulary_knows() -> None:
    small = Vocabulary({"action": ("waving",)}, VOCABULARY.phrase)
    (plan,) = draw_instances(undescribed(ReferenceKind.PHOTO), Draw(count=1, seed=0), small)
    assert targets(plan) == (("action", "waving"),)
    with pytest.raises(ValueError, match="gives only 1 different instances of the 2 asked for"):
        draw_instances(undescribed(ReferenceKind.PHOTO), Draw(count=2, seed=0), small)
    with pytest.raises(ValueError, match="no state to change to"):
        draw_instances(undescribed(ReferenceKind.PHOTO), Draw(count=1, seed=0), Vocabulary({}, small.phrase))


def test_it_refuses_people_without_references_and_negative_counts() -> None:
    with pytest.raises(ValueError, match="nobody has no reference"):
        draw_instances(IdentityGroup("nobody", ()), Draw(count=1, seed=0), VOCABULARY)
    with pytest.raises(ValueError, match="count is -1"):
        Draw(count=-1, seed=0)
    assert draw_instances(person(), Draw(count=0, seed=0), VOCABULARY) == []


@pytest.mark.parametrize("num_references", [1, 2, 5])
@pytest.mark.parametrize("with_target", [False, True])
def test_it_draws_as_many_references_as_are_asked_for(num_references: int, with_target: bool) -> None:
    draw = Draw(count=15, seed=0, num_references=num_references, with_target=with_target)
    plans = draw_instances(person(), draw, VOCABULARY)
    assert {1 + len(plan.assistants) for plan in plans} == {num_references}
    few = undescribed(ReferenceKind.PHOTO, ReferenceKind.CLIP)
    plans = draw_instances(few, draw, VOCABULARY)
    assert {1 + len(plan.assistants) for plan in plans} == {min(num_references, 2)}


@pytest.mark.parametrize("num_references", [0, 6])
def test_it_refuses_numbers_that_no_instance_has(num_references: int) -> None:
    with pytest.raises(ValueError, match=rf"references is {num_references}; it must be in \[1, 5\]"):
        Draw(count=1, seed=0, num_references=num_references)


def test_nobody_knows_the_camera_shot_of_a_crop() -> None:
    draw = Draw(count=60, seed=0, with_target=True, is_cropped=True)
    for plan in draw_instances(person(), draw, VOCABULARY):
        shot = plan.prompt.elements[ELEMENTS.index("camera_shot")]
        assert shot.primary is None
        assert shot.changed and plan.target is not None
        assert shot.target == elements_of(person())[plan.target]["camera_shot"]


def portrait(num_frames: int) -> ClipAnnotation:
    return annotate([([face(20, 12, 24)], [human(8, 4, 48, 60)])] * num_frames, sha256=f"{num_frames:064x}")


def test_it_turns_references_into_all_three_kinds() -> None:
    group = person()
    annotations = {
        reference.reference_id: portrait(33 if reference.kind is ReferenceKind.CLIP else 1)
        for reference in group.references
    }
    plans = draw_instances(group, Draw(count=200, seed=0, is_cropped=True), VOCABULARY)
    kinds: Counter[tuple[str, str]] = Counter()
    for plan in plans:
        primary, *assistants = draw_crops(plan, annotations, 0)
        assert primary.kind is not ReferenceKind.PHOTO
        assert len(assistants) == len(plan.assistants)
        for name, recipe in zip(plan.assistants, assistants, strict=True):
            assert recipe.source_sha256 == annotations[name].sha256
            kinds[kind_of(name), str(recipe.kind)] += 1
        assert (primary, *assistants) == draw_crops(plan, annotations, 0)
    clips = [kinds["clip", str(kind)] for kind in ReferenceKind]
    assert min(clips) > sum(clips) / 5
    assert kinds["photo", "clip"] == 0 < kinds["photo", "half_body"]
    assert [draw_crops(plan, annotations, 1) for plan in plans] != [
        draw_crops(plan, annotations, 0) for plan in plans
    ]


def test_it_speaks_the_language_of_the_portrait_world() -> None:
    world = pytest.importorskip("generator.portraits.world")
    vocabulary = Vocabulary(world.ELEMENT_STATES, world.phrase_change)
    for plan in draw_instances(undescribed(ReferenceKind.CLIP), Draw(count=50, seed=0), vocabulary):
        for change in plan.prompt.changed:
            assert change.target in world.ELEMENT_STATES[change.element]
            assert change.target in change.statement
