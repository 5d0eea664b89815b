"""The plan of a user study: what everybody is shown is as even as it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import pytest

from rlhf.evaluation.study_plan import Planned, plan_study

MODELS = ("anyid", "consisid", "fantasyid", "phantom", "skyreels")
#: The paper's study, and others whose numbers share factors, leave remainders, or use every pair up.
STUDIES = [
    (MODELS, 50, 20, 40),
    (MODELS[:3], 12, 7, 10),
    (MODELS[:2], 4, 3, 4),
    (MODELS[:4], 5, 4, 30),
    (MODELS[:3], 4, 9, 11),
]


def spread(counts: Iterable[int]) -> int:
    counts = list(counts)
    return max(counts) - min(counts)


def counted(keys: Iterable[object], found: Iterable[object]) -> list[int]:
    """How often each key is there, with those that are not."""
    counts = Counter(found)
    return [counts[key] for key in keys]


@pytest.mark.parametrize(("models", "num_items", "participants", "pairs_each"), STUDIES)
def test_every_participant_and_the_whole_are_even(models, num_items, participants, pairs_each):
    plans = plan_study(models, num_items, participants, pairs_each, seed=3)
    assert [len(plan) for plan in plans] == [pairs_each] * participants
    matches = list(combinations(models, 2))
    whole = [pair for plan in plans for pair in plan]
    for part in (*plans, whole):
        assert spread(counted(matches, ((pair.first, pair.second) for pair in part))) <= 1
        assert spread(counted(range(num_items), (pair.item for pair in part))) <= 1
    for plan in plans:
        assert len({(pair.item, pair.first, pair.second) for pair in plan}) == pairs_each
    for match in matches:
        sides = [pair.first_on_left for pair in whole if (pair.first, pair.second) == match]
        assert abs(2 * sum(sides) - len(sides)) <= 1


def test_every_combination_of_models_and_item_is_used_before_one_is_used_twice_more():
    """800 pairs of 10 x 50 combinations: each comes once or twice, or chance would have left holes."""
    plans = plan_study(MODELS, 50, 20, 40, seed=1)
    combined = Counter((pair.item, pair.first, pair.second) for plan in plans for pair in plan)
    assert len(combined) == 500 and set(combined.values()) <= {1, 2, 3}
    assert sum(count == 3 for count in combined.values()) <= 10


def test_no_model_stands_on_one_side_of_anybodys_screen():
    for plan in plan_study(MODELS, 50, 20, 40, seed=2):
        for model in MODELS:
            lefts = [left_of(pair) == model for pair in plan if model in (pair.first, pair.second)]
            assert 0.25 <= sum(lefts) / len(lefts) <= 0.75


def left_of(pair: Planned) -> str:
    return pair.first if pair.first_on_left else pair.second


def test_the_seed_decides_everything():
    once, again, other = (plan_study(MODELS, 10, 4, 10, seed=seed) for seed in (5, 5, 6))
    assert once == again != other


@pytest.mark.parametrize(
    ("models", "num_items", "participants", "pairs_each", "says"),
    [
        (MODELS[:1], 5, 2, 2, "two or more"),
        (("a", "a"), 5, 2, 2, "different"),
        (MODELS[:2], 3, 2, 4, "3 that there are"),
        (MODELS[:2], 3, 0, 2, "1 or more"),
    ],
)
def test_what_cannot_be_planned_is_refused(models, num_items, participants, pairs_each, says):
    with pytest.raises(ValueError, match=says):
        plan_study(models, num_items, participants, pairs_each)
