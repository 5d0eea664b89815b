"""The oracle's scores on readings with known answers, and the shipped oracle on people it never saw."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.portraits.oracle import (  # noqa: E402
    WEIGHTS,
    Oracle,
    Reading,
    controllability_log_likelihood,
    controllability_score,
    glance,
    identity_log_likelihood,
    identity_similarity,
)
from generator.portraits.people import plan_person  # noqa: E402
from generator.portraits.world import ELEMENT_STATES, SPLIT_SEEDS, draw_identity  # noqa: E402
from generator.records import ELEMENTS  # noqa: E402


def reading(*identity: float, certainty: tuple[float, ...] | None = None) -> Reading:
    numbers = np.array(identity)
    return Reading(numbers, {}, np.ones(len(numbers)) if certainty is None else np.array(certainty))


def test_it_gives_one_to_the_same_person_and_nothing_to_a_stranger() -> None:
    """Strangers differ by 2 / 12 on average: sqrt(1 / 6) in every number scores 0, half of it 3/4."""
    person = reading(0.2, 0.3)
    step = (1 / 6) ** 0.5
    assert identity_similarity(person, [person]) == 1.0
    assert identity_similarity(reading(0.2 + step, 0.3 + step), [person]) == pytest.approx(0.0)
    assert identity_similarity(reading(0.2 + step / 2, 0.3 + step / 2), [person]) == pytest.approx(0.75)
    assert identity_similarity(reading(1.0, 1.0), [reading(0.0, 0.0)]) == 0.0


def test_it_merges_references_by_certainty() -> None:
    """0 with certainty 3 and 1 with certainty 1 make 1/4."""
    references = [reading(0.0, certainty=(3.0,)), reading(1.0, certainty=(1.0,))]
    assert identity_similarity(reading(0.25), references) == pytest.approx(1.0)


def test_it_compares_what_both_sides_show() -> None:
    """The second number is unknown to the reference, so its difference hardly counts."""
    clip = reading(0.5, 1.0, certainty=(100.0, 100.0))
    reference = reading(0.5, 0.0, certainty=(100.0, 1e-6))
    assert identity_similarity(clip, [reference]) > 0.999


def test_it_scores_the_expected_states_by_their_probability() -> None:
    seen = Reading(
        np.zeros(1), {"expression": {"sad": 0.9, "angry": 0.1}, "action": {"waving": 0.4, "nodding": 0.6}}
    )
    assert controllability_score(seen, {"expression": "sad", "action": "waving"}) == pytest.approx(0.65)
    with pytest.raises(ValueError, match="no expression 'bored'"):
        controllability_score(seen, {"expression": "bored"})
    with pytest.raises(ValueError, match="no element is expected"):
        controllability_score(seen, {})
    with pytest.raises(ValueError, match="no reference reading"):
        identity_similarity(seen, [])


def test_an_open_scale_has_no_end() -> None:
    """With certainty 4 of the clip and 4 of two references of 2 each, the variance is 1/2.

    Differences of 0.1 and 0.3 then cost 0.1^2 + 0.3^2 = 0.1 nats; far off, where similarity is 0, 100 times.
    """
    references = [reading(0.5, 0.5, certainty=(2.0, 2.0))] * 2
    near = reading(0.6, 0.8, certainty=(4.0, 4.0))
    far = reading(1.5, 3.5, certainty=(4.0, 4.0))
    assert identity_log_likelihood(near, references) == pytest.approx(-0.1)
    assert identity_log_likelihood(far, references) == pytest.approx(-10.0)
    assert identity_similarity(far, references) == 0.0
    seen = Reading(
        np.zeros(1), {"expression": {"sad": 0.25, "angry": 0.75}, "action": {"waving": 0.0, "nodding": 1.0}}
    )
    assert controllability_log_likelihood(seen, {"expression": "sad"}) == pytest.approx(np.log(0.25))
    both = {"expression": "sad", "action": "waving"}
    assert controllability_log_likelihood(seen, both) == pytest.approx(np.log(0.25) - 16), (
        "a zero has a floor"
    )


def test_it_glances_at_five_frames_of_any_size() -> None:
    assert glance(np.zeros((9, 64, 64, 3), np.uint8)).shape == (5, 3, 64, 64)
    assert glance(np.zeros((1, 100, 50, 3), np.uint8)).shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="give uint8"):
        glance(np.zeros((0, 64, 64, 3), np.uint8))


def test_it_says_where_weights_come_from_when_there_are_none(tmp_path) -> None:
    with pytest.raises(ValueError, match="generator.portraits.train oracle"):
        Oracle.load(tmp_path / "none.safetensors")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the oracle is not trained yet")
def test_it_reads_people_it_never_saw_as_well_as_it_says() -> None:
    """12 people, 24 clips: within sampling error of the stated accuracies."""
    oracle = Oracle.load()
    people = [SPLIT_SEEDS["benchmark"] + 5_000_000 + number for number in range(12)]
    clips = {seed: [item.render(draw_identity(seed)) for item in plan_person(seed)] for seed in people}
    gallery = {seed: [oracle.read(clip) for clip in items[2:]] for seed, items in clips.items()}
    found, right = 0, []
    for seed, items in clips.items():
        for index in (0, 1):
            seen = oracle.read(items[index])
            found += max(people, key=lambda other: identity_similarity(seen, gallery[other])) == seed
            truth = plan_person(seed)[index].elements
            right += [max(ELEMENT_STATES[e], key=seen.elements[e].__getitem__) == truth[e] for e in ELEMENTS]
    assert found / 24 >= oracle.trust["rendered"]["identity_top1_of_50"] - 0.15
    assert np.mean(right) >= np.mean([oracle.trust["rendered"][element] for element in ELEMENTS]) - 0.08
