import numpy as np
import pytest

from rlhf.records import EXPRESSED
from rlhf.votes.agreement import agreement, gwet_ac1, krippendorff_alpha, raw_agreement, verdict_counts
from rlhf.votes.columns import columns_of
from tests.rlhf.planted import FIRST, SECOND, TIE, UNSURE, planted, vote

#: Four raters and twelve units in five categories, with gaps: Krippendorff's example. Gwet's R package irrCAC
#: and its Python port give alpha 0.74342, AC1 0.77544 and raw agreement 0.81818 for it.
RATERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def published() -> np.ndarray:
    units = zip(*(rater.split() for rater in RATERS), strict=True)
    return np.array([[unit.count(str(category)) for category in range(1, 6)] for unit in units])


def test_it_gives_the_published_figures() -> None:
    counts = published()
    assert krippendorff_alpha(counts) == pytest.approx(0.74342, abs=5e-6)
    assert gwet_ac1(counts) == pytest.approx(0.77544, abs=5e-6)
    assert raw_agreement(counts) == pytest.approx(0.81818, abs=5e-6)


def test_skewed_prevalence_breaks_alpha_and_not_ac1() -> None:
    """Two people, 90 pairs both first, 10 where they differ: 200 votes, 190 of them first.

    alpha = 1 - 0.1 / (2 * 190 * 10 / (200 * 199)); AC1 has p_e = 2 * 0.95 * 0.05 / 3.
    """
    votes = []
    for pair in range(100):
        other = FIRST if pair < 90 else SECOND
        votes += [vote(FIRST, pair=pair), vote(other, pair=pair, annotator=1)]
    found = agreement(columns_of(votes))
    chance = 2 * 0.95 * 0.05 / 3
    assert found.raw.value == pytest.approx(0.9)
    assert found.alpha.value == pytest.approx(1 - 0.1 / (2 * 190 * 10 / (200 * 199)))
    assert found.alpha.value < 0
    assert found.ac1.value == pytest.approx((0.9 - chance) / (1 - chance))


def test_its_intervals_hold_the_agreement_of_many_more_pairs() -> None:
    people = [(0.8, 0.0)] * 6
    many = agreement(columns_of(planted(people, pairs=3000, seed=1)[0]))
    few = agreement(columns_of(planted(people, pairs=200, seed=2)[0]))
    for sure, found in ((many.alpha, few.alpha), (many.ac1, few.ac1), (many.raw, few.raw)):
        assert found.low < sure.value < found.high
        assert sure.high - sure.low < (found.high - found.low) / 2


def test_guessers_agree_by_chance_only() -> None:
    answers = np.random.default_rng(0).choice(EXPRESSED, size=(400, 3))
    votes = [vote(answers[pair, n], pair=pair, annotator=n) for pair in range(400) for n in range(3)]
    found = agreement(columns_of(votes))
    assert found.alpha.low < 0 < found.alpha.high
    assert found.raw.low < 0.25 < found.raw.high


def test_unanimity_on_one_verdict_leaves_alpha_undefined_and_says_why() -> None:
    votes = [vote(TIE, pair=pair, annotator=person) for pair in range(5) for person in range(3)]
    found = agreement(columns_of(votes))
    assert found.alpha.value is None
    assert found.alpha.reason.startswith("undefined because every vote is tie")
    assert (found.ac1.value, found.raw.value) == (1, 1)
    assert found.raw.low is None
    assert found.raw.reason == "no interval because every pair says the same"


def test_unanimity_on_several_verdicts_is_full_agreement() -> None:
    votes = [vote((FIRST, SECOND)[pair % 2], pair=pair, annotator=n) for pair in range(20) for n in range(2)]
    assert agreement(columns_of(votes)).alpha.value == 1


@pytest.mark.parametrize(
    "votes",
    [
        [],
        [vote(FIRST)],
        [vote(FIRST, pair=1), vote(SECOND, pair=2, annotator=1)],
        [vote(FIRST), vote(UNSURE, annotator=1)],
    ],
)
def test_without_two_votes_on_a_pair_nothing_is_defined(votes) -> None:
    found = agreement(columns_of(votes))
    for figure in (found.alpha, found.ac1, found.raw):
        assert figure.value is None
        assert figure.reason == "undefined because no pair has two votes"


def test_one_pair_has_no_interval() -> None:
    found = agreement(columns_of([vote(FIRST), vote(SECOND, annotator=1)]))
    assert found.raw.value == 0
    assert found.raw.reason == "no interval because only one pair has two votes"


def test_an_interval_needs_most_bootstrap_samples() -> None:
    """Of three pairs one differs: 8 of 27 samples miss it, and say nothing of alpha."""
    votes = [vote(FIRST, pair=pair, annotator=person) for pair in range(3) for person in range(2)]
    votes[-1] = vote(SECOND, pair=2, annotator=1)
    found = agreement(columns_of(votes))
    assert found.alpha.value is not None
    assert found.alpha.low is None
    assert "bootstrap samples" in found.alpha.reason


def test_it_counts_expressed_votes_by_pair() -> None:
    votes = [vote(FIRST, pair=7), vote(TIE, pair=7, annotator=1), vote(UNSURE, pair=7, annotator=2)]
    assert verdict_counts(columns_of(votes)).tolist() == [[1, 0, 1, 0]]
