"""Faults that are planted in targets are read off them again, and off nothing else."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from generator.portraits.fault_reading import STILL, identity_of, read_faults
from generator.portraits.oracle import Oracle, Reading
from generator.portraits.people import plan_person
from generator.portraits.planted_faults import BLEACHED, PlantedFault, beautify, draw_faults, render_target
from generator.portraits.world import (
    CHOICES,
    HAIR_COLOURS,
    IDENTITY_SIZE,
    SPLIT_SEEDS,
    change_elements,
    draw_identity,
)


def test_the_filter_bleaches_and_keeps_the_rest() -> None:
    assert set(BLEACHED) == set(range(len(HAIR_COLOURS)))
    assert all(HAIR_COLOURS[after].sum() >= HAIR_COLOURS[before].sum() for before, after in BLEACHED.items())
    person = draw_identity(3)
    filtered = beautify(person)
    assert (filtered.facial_hair, filtered.mouth_width) == (person.facial_hair, person.mouth_width)
    assert filtered != person and filtered.skin <= person.skin


def test_a_person_is_found_again_from_the_numbers() -> None:
    person = draw_identity(5)
    again = identity_of(person.vector())
    assert all(getattr(again, name) == getattr(person, name) for name in CHOICES)
    assert again.vector() == pytest.approx(person.vector())


def test_faults_of_one_target_go_together() -> None:
    """Both sources have half of the targets, so a fault makes the careless one likelier, and other faults."""
    rng = np.random.default_rng(0)
    drawn = [draw_faults(rng) for _ in range(2_000)]
    filtered = [PlantedFault.CLAIM in faults for faults in drawn if PlantedFault.FILTER in faults]
    others = [PlantedFault.CLAIM in faults for faults in drawn if PlantedFault.FILTER not in faults]
    assert np.mean(filtered) > 2 * np.mean(others)


def test_a_frozen_target_does_not_move_and_a_soft_one_is_blurred() -> None:
    person, elements = draw_identity(1), dict(plan_person(1)[0].elements) | {"action": "waving"}
    plain, soft, frozen = (
        render_target(person, elements, elements, faults, seed=4)
        for faults in ((), (PlantedFault.SOFT,), (PlantedFault.FROZEN,))
    )
    assert (frozen == frozen[:1]).all() and not (plain == plain[:1]).all()
    assert np.diff(soft.astype(int), axis=2).std() < 0.7 * np.diff(plain.astype(int), axis=2).std()


def test_nothing_is_said_of_what_could_not_be_seen() -> None:
    sure = {"action": {STILL: 1.0, "waving": 0.0}}
    person = Reading(draw_identity(1).vector(), sure, np.full(IDENTITY_SIZE, 100.0))
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    said = read_faults(
        person, frames, references=[person], primary={"action": STILL}, expected={"action": STILL}, changed=()
    )
    assert set(said) == {PlantedFault.FILTER, PlantedFault.STRANGER, PlantedFault.SOFT}
    assert said[PlantedFault.SOFT], "one colour has no contrast to lose"


@pytest.mark.slow
def test_planted_faults_are_read_again() -> None:
    """6 people whom the oracle never saw: most faults are found, and none in a right clip."""
    oracle = Oracle.load()
    found: dict[PlantedFault | None, list[set[PlantedFault]]] = {}
    for number in range(6):
        seed = SPLIT_SEEDS["eval"] + 7_000_000 + number
        person, items = draw_identity(seed), plan_person(seed)
        references = [oracle.read(item.render(person)) for item in items[1:7]]
        primary = dict(items[0].elements) | {"action": "waving"}
        rng = np.random.default_rng(number)
        asked = change_elements(primary, 0.4, rng) | {"action": "turning left"}
        for fault in (None, *PlantedFault):
            clip = render_target(person, primary, asked, () if fault is None else (fault,), seed=77 + number)
            said = read_faults(
                oracle.read(clip),
                clip,
                references=references,
                primary=primary,
                expected=asked,
                changed=[element for element in asked if asked[element] != primary[element]],
            )
            found.setdefault(fault, []).append({one for one, is_there in said.items() if is_there})
    assert not set().union(*found[None])
    for fault in PlantedFault:
        assert sum(fault in said for said in found[fault]) >= 4, fault
