"""How far people agree on a track, three ways, each with an interval or the reason why there is none.

Alpha falls when one verdict is much commoner than the others, however well people agree (the kappa paradox);
AC1 does not, and raw agreement knows no chance at all. So the three are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED, Verdict
from rlhf.votes.model import CODE
from rlhf.votes.vote import Estimate, Vote, with_percentiles

#: (N, K): how many people gave pair n the verdict k.
Counts = NDArray[np.int64]

#: Bootstrap samples of an interval; more than this many pairs get fewer, at least 200.
DRAWS = 1000
MANY_PAIRS = 2000


@dataclass(frozen=True)
class Agreement:
    """Agreement of one track."""

    alpha: Estimate  # Krippendorff's alpha, nominal
    ac1: Estimate  # Gwet's AC1
    raw: Estimate  # share of pairs of votes on the same pair that are equal


def agreement(votes: Iterable[Vote]) -> Agreement:
    """Agreement on one track; abstentions are missing votes.

    Intervals are bootstrapped over pairs (percentiles), because votes on one pair depend on each other.

    Args:
        votes: of one track, each person at most once a pair.
    """
    return agreement_of(verdict_counts(votes))


def agreement_of(counts: Counts) -> Agreement:
    """Agreement of counted verdicts.

    Args:
        counts: (N, K) how many people gave each pair each verdict that could be given, in the order of
            `EXPRESSED`.
    """
    return Agreement(
        alpha=_estimate(counts, krippendorff_alpha),
        ac1=_estimate(counts, gwet_ac1),
        raw=_estimate(counts, raw_agreement),
    )


def verdict_counts(votes: Iterable[Vote]) -> Counts:
    """(N, 4) expressed votes of each pair that has one; columns as in `EXPRESSED`."""
    rows: dict[int, list[int]] = {}
    for vote in votes:
        if vote.verdict is not Verdict.UNSURE:
            rows.setdefault(vote.pair, [0] * len(EXPRESSED))[CODE[vote.verdict]] += 1
    return np.array(list(rows.values()), dtype=np.int64).reshape(-1, len(EXPRESSED))


def raw_agreement(counts: Counts) -> float:
    """Mean over pairs of the share of their vote pairs that are equal.

        p_a = mean_n sum_k r_nk (r_nk - 1) / (r_n (r_n - 1)),   over pairs n with r_n >= 2 votes

    Args:
        counts: (N, K), at least one row with two votes.
    """
    judged = counts[counts.sum(1) >= 2]
    total = judged.sum(1)
    return float(np.mean((judged * (judged - 1)).sum(1) / (total * (total - 1))))


def gwet_ac1(counts: Counts) -> float:
    """Agreement beyond that of people who guess only where they cannot tell.

        AC1 = (p_a - p_e) / (1 - p_e),   p_e = sum_k pi_k (1 - pi_k) / (K - 1),   pi_k = mean_n r_nk / r_n

    Source: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement",
    British Journal of Mathematical and Statistical Psychology 61 (2008).

    Args:
        counts: (N, K), at least one row with two votes; K is the number of possible verdicts.
    """
    voted = counts[counts.sum(1) >= 1]
    share = (voted / voted.sum(1, keepdims=True)).mean(0)
    chance = float((share * (1 - share)).sum() / (counts.shape[1] - 1))
    return (raw_agreement(counts) - chance) / (1 - chance)


def krippendorff_alpha(counts: Counts) -> float:
    """One minus observed over expected disagreement; NaN where nobody disagrees on only one verdict.

    Source: Krippendorff, "Content Analysis", chapter 12; computed by the package `krippendorff`.

    Args:
        counts: (N, K), at least one row with two votes.
    """
    judged = counts[counts.sum(1) >= 2]
    if np.count_nonzero(judged.sum(0)) < 2:
        return float("nan")
    import krippendorff

    return float(krippendorff.alpha(value_counts=judged, level_of_measurement="nominal"))


def _estimate(counts: Counts, statistic: Callable[[Counts], float]) -> Estimate:
    """A statistic with its bootstrap interval."""
    judged = int((counts.sum(1) >= 2).sum())
    if not judged:
        return Estimate.undefined("no pair has two votes")
    value = statistic(counts)
    if np.isnan(value):
        only = EXPRESSED[int(counts[counts.sum(1) >= 2].sum(0).argmax())]
        return Estimate.undefined(f"every vote is {only}, so chance cannot be told from agreement", judged)
    if judged == 1:
        return Estimate(value, None, None, 1, "no interval because only one pair has two votes")
    rng = np.random.default_rng(0)
    draws = DRAWS if len(counts) <= MANY_PAIRS else max(200, DRAWS * MANY_PAIRS // len(counts))
    values = np.array([_of_sample(counts, statistic, rng) for _ in range(draws)])
    estimate = with_percentiles(value, values, judged)
    if not estimate.reason and np.nanmin(values) == np.nanmax(values):
        return Estimate(value, None, None, judged, "no interval because every pair says the same")
    return estimate


def _of_sample(counts: Counts, statistic: Callable[[Counts], float], rng: np.random.Generator) -> float:
    """The statistic of as many pairs, drawn with replacement; NaN where none of them has two votes."""
    sample = counts[rng.integers(len(counts), size=len(counts))]
    return statistic(sample) if (sample.sum(1) >= 2).any() else float("nan")
