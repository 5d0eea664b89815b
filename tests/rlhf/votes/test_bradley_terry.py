from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import exp, log, sqrt

import numpy as np
import pytest

from rlhf.records import Verdict
from rlhf.votes.bradley_terry import Comparison, strengths, win_rate
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE


def said(*verdicts: Verdict, first: str = "a", second: str = "b", start: int = 0) -> list[Comparison]:
    """One vote per pair."""
    return [Comparison(start + number, first, second, verdict) for number, verdict in enumerate(verdicts)]


def planted(truth: Mapping[str, float], nu: float, pairs: int, seed: int) -> list[Comparison]:
    """Votes drawn from Davidson's model, one a pair, with log strengths and the tie parameter known."""
    rng = np.random.default_rng(seed)
    found: list[Comparison] = []
    for left, right in combinations(truth, 2):
        weights = np.array(
            [exp(truth[left]), exp(truth[right]), nu * sqrt(exp(truth[left]) * exp(truth[right]))]
        )
        drawn = rng.choice(3, pairs, p=weights / weights.sum())
        verdicts = [(FIRST, SECOND, TIE)[code] for code in drawn]
        found += said(*verdicts, first=left, second=right, start=len(found))
    return found


def values(comparisons: Sequence[Comparison]) -> dict[str, float | None]:
    return {name: found.value for name, found in strengths(comparisons).models.items()}


def test_two_models_are_fitted_exactly_since_the_model_is_saturated() -> None:
    """With two models, the fitted chances are the shares: the odds are 6 to 2, and nu is 4 / sqrt(12)."""
    found = strengths(said(*[FIRST] * 6, *[SECOND] * 2, *[TIE] * 4))
    assert found.models["a"].value == pytest.approx(log(3) / 2, abs=1e-5)
    assert found.models["b"].value == pytest.approx(-log(3) / 2, abs=1e-5)
    assert found.ties.value == pytest.approx(4 / sqrt(12), rel=1e-5)
    assert found.models["a"].count == found.ties.count == 12


def test_without_ties_it_is_bradley_and_terry() -> None:
    found = strengths(said(*[FIRST] * 9, *[SECOND] * 3))
    assert found.models["a"].value == pytest.approx(log(3) / 2, abs=1e-5)
    assert found.ties.value == 0 and found.ties.low is None and "nothing was a tie" in found.ties.reason


def test_the_interval_ends_where_the_likelihood_has_fallen_by_half_the_quantile() -> None:
    found = strengths(said(*[FIRST] * 9, *[SECOND] * 3)).models["a"]
    assert found.low is not None and found.high is not None and found.value is not None

    def log_likelihood(strength: float) -> float:
        chance = 1 / (1 + exp(-2 * strength))
        return 9 * log(chance) + 3 * log(1 - chance)

    for end in (found.low, found.high):
        assert 2 * (log_likelihood(found.value) - log_likelihood(end)) == pytest.approx(3.8415, abs=1e-3)


def test_planted_strengths_of_four_models_are_found() -> None:
    truth = {"a": 0.9, "b": 0.3, "c": -0.2, "d": -1.0}
    found = strengths(planted(truth, nu=0.7, pairs=1500, seed=1))
    for name, strength in truth.items():
        estimate = found.models[name]
        assert estimate.value == pytest.approx(strength, abs=0.1)
        assert estimate.value is not None and estimate.low is not None and estimate.high is not None
        assert estimate.low < estimate.value < estimate.high < estimate.low + 0.25
    assert found.ties.value == pytest.approx(0.7, abs=0.07)
    assert sum(value or 0 for value in values(planted(truth, 0.7, 50, 2)).values()) == pytest.approx(0)


@pytest.mark.slow
def test_the_interval_covers_what_was_planted_as_often_as_it_says() -> None:
    """Of 60 intervals of 95 %, 51 or fewer cover the truth with a chance below 0.3 %."""
    truth = {"a": 0.5, "b": 0.0, "c": -0.5}
    covered = 0
    for seed in range(60):
        found = strengths(planted(truth, nu=0.5, pairs=25, seed=seed)).models["a"]
        assert found.low is not None and found.high is not None
        covered += found.low <= truth["a"] <= found.high
    assert covered >= 52


def test_names_and_sides_change_nothing() -> None:
    votes = planted({"a": 0.6, "b": 0.0, "c": -0.6}, nu=0.4, pairs=40, seed=3)
    swap = {FIRST: SECOND, SECOND: FIRST, TIE: TIE}
    turned = [Comparison(vote.pair, vote.second, vote.first, swap[vote.verdict]) for vote in votes]
    assert values(turned) == pytest.approx(values(votes), abs=1e-4)


def test_several_votes_on_one_pair_are_one_observation() -> None:
    """Three people who agree on every pair tell no more than one: their videos are the same."""
    once = said(*[FIRST] * 9, *[SECOND] * 3, TIE)
    thrice = [vote for vote in once for _ in range(3)]
    one, three = strengths(once).models["a"], strengths(thrice).models["a"]
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high), abs=1e-4)
    assert three.count == one.count == 13
    assert win_rate(thrice, "a") == win_rate(once, "a")


def test_both_bad_is_a_tie_and_unsure_is_nothing() -> None:
    votes = said(FIRST, FIRST, SECOND, TIE)
    other = [*said(FIRST, FIRST, SECOND, BOTH_BAD), *said(UNSURE, start=9)]
    assert strengths(other) == strengths(votes) and win_rate(other, "b") == win_rate(votes, "b")


@pytest.mark.parametrize(
    ("votes", "why"),
    [
        ([], None),
        (said(UNSURE, UNSURE), "there are no votes"),
        (said(TIE, TIE), "every vote is a tie"),
        (said(FIRST, FIRST), "no vote limits how far a is above b"),
        (said(SECOND, SECOND, TIE), "no vote limits how far b is above a"),
        (
            [*said(FIRST, SECOND, TIE), *said(FIRST, SECOND, first="c", second="d", start=9)],
            "the models were not all compared",
        ),
        # The two that lead have beaten each other, and nobody of the rest has beaten them.
        (
            [*said(FIRST, SECOND), *said(FIRST, FIRST, second="c", start=5)],
            "no vote limits how far a, b is above c",
        ),
    ],
)
def test_what_has_no_maximum_is_undefined_and_says_why(votes: list[Comparison], why: str | None) -> None:
    found = strengths(votes)
    assert found.ties.value is None and found.ties.reason.startswith("undefined because ")
    assert bool(found.models) == (why is not None)
    for estimate in found.models.values():
        assert estimate.value is None and estimate.low is None and estimate.high is None
        assert why is not None and estimate.reason.startswith(f"undefined because {why}")


def test_a_circle_of_wins_has_a_maximum() -> None:
    """Everybody is beaten by somebody (Ford's condition), though each match is one-sided."""
    circle = [("a", "b"), ("b", "c"), ("c", "a")]
    votes = [Comparison(number, one, two, FIRST) for number, (one, two) in enumerate(circle)]
    assert values(votes) == pytest.approx({"a": 0, "b": 0, "c": 0}, abs=1e-5)


def test_the_win_rate_counts_ties_half_and_a_pair_once() -> None:
    votes = [*said(FIRST, SECOND, TIE), Comparison(0, "a", "b", SECOND), Comparison(8, "c", "b", FIRST)]
    assert win_rate(votes, "a").value == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert win_rate(votes, "c").value == 1 and win_rate(votes, "c").count == 1
    assert win_rate(votes, "d").reason == "undefined because there are no pairs with a vote"


def test_a_model_is_not_compared_with_itself() -> None:
    with pytest.raises(ValueError, match="pair 4 compares 'a' with itself; give videos of two models"):
        Comparison(4, "a", "a", TIE)
