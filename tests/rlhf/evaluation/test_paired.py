import numpy as np
import pytest

from rlhf.evaluation.paired import compare


def test_it_counts_wins_and_half_of_the_ties():
    """Three wins, one tie, two losses in six comparisons: 3.5 / 6."""
    found = compare([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [[0.2, 0.3], [0.4, 0.4], [0.4, 0.5]])
    assert found.win_rate == pytest.approx(3.5 / 6)
    assert (found.n, found.num_identities) == (6, 3)
    assert (found.baseline_mean, found.candidate_mean) == pytest.approx((0.35, 2.2 / 6))
    assert found.gain == pytest.approx(0.1 / 6)


def test_every_video_counts_once_however_many_a_person_has():
    """One person wins twice, another loses once: two wins of three, not one person of two."""
    found = compare([[0.1, 0.2], [0.5]], [[0.2, 0.4], [0.2]])
    assert found.win_rate == pytest.approx(2 / 3)
    assert found.gain == pytest.approx((0.1 + 0.2 - 0.3) / 3)
    assert (found.low, found.high) == (0.0, 1.0), "either person alone can be drawn"


def test_equal_models_win_half():
    scores = np.random.default_rng(0).random((20, 2)).tolist()
    found = compare(scores, scores)
    assert (found.win_rate, found.low, found.high, found.gain) == (0.5, 0.5, 0.5, 0)


@pytest.mark.slow
def test_its_interval_covers_the_truth_as_often_as_it_says():
    """Planted probability 0.7, 40 instances, 100 repeats: 0.95 within four standard deviations of 0.0218."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        outcomes = (rng.random((40, 2)) < 0.7).astype(float)
        found = compare(np.full((40, 2), 0.5).tolist(), outcomes.tolist())
        covered += found.low <= 0.7 <= found.high
    assert covered / 100 == pytest.approx(0.95, abs=0.0872)


def test_seeds_of_one_instance_are_not_taken_for_independent():
    """The same outcome four times over says no more than once: the interval must not shrink."""
    outcomes = (np.random.default_rng(2).random((30, 1)) < 0.6).astype(float)
    once = compare(np.full((30, 1), 0.5).tolist(), outcomes.tolist())
    often = compare(np.full((30, 4), 0.5).tolist(), np.repeat(outcomes, 4, axis=1).tolist())
    assert (often.low, often.high) == (once.low, once.high)


@pytest.mark.parametrize(("before", "after"), [([], []), ([[1.0]], [[1.0, 2.0]]), ([[]], [[]])])
def test_it_refuses_what_is_not_paired(before, after):
    with pytest.raises(ValueError, match="give pairs|no values"):
        compare(before, after)
