from math import sqrt

import pytest

from rlhf.votes.vote import Estimate, share
from tests.rlhf.planted import FIRST, UNSURE, vote


@pytest.mark.parametrize(("successes", "trials"), [(7, 10), (0, 5), (40, 40), (1, 1)])
def test_a_share_has_wilsons_interval(successes: int, trials: int) -> None:
    z, p, n = 1.959964, successes / trials, trials
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    found = share(successes, trials, what="votes")
    assert (found.value, found.count, found.reason) == (p, n, "")
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_a_share_of_nothing_is_undefined_and_says_why() -> None:
    found = share(0, 0, what="gold votes")
    assert found == Estimate(None, None, None, 0, "undefined because there are no gold votes")


def test_gold_has_an_answer() -> None:
    with pytest.raises(ValueError, match="gold pair 7 is unsure; give an expressed verdict"):
        vote(FIRST, pair=7, gold=UNSURE)
