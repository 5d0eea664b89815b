"""How far people agree on a track, three ways, each with an interval or the reason why there is none.

Alpha falls when one verdict is much commoner than the others, however well people agree (the kappa paradox);
AC1 does not, and raw agreement knows no chance at all. So the three are read together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED
from rlhf.votes.columns import VoteColumns
from rlhf.votes.vote import Estimate, with_percentiles

#: (N, K): how many people gave pair n the verdict k.
Counts = NDArray[np.int64]
Numbers = NDArray[np.int64]
#: Of counts, and how many pairs have each row of them.
Statistic = Callable[[Counts, Numbers], float]

#: Bootstrap samples of an interval; more than this many pairs get fewer, at least 200.
DRAWS = 1000
MANY_PAIRS = 2000


@dataclass(frozen=True)
class Agreement:
    """Agreement of one track."""

    alpha: Estimate  # Krippendorff's alpha, nominal
    ac1: Estimate  # Gwet's AC1
    raw: Estimate  # share of pairs of votes on the same pair that are equal


def agreement(votes: VoteColumns) -> Agreement:
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
    # Many pairs have few different rows, and a bootstrap sample of pairs is how often it has each of them.
    rows, row_of, pairs = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    drawn = _bootstrap(row_of.ravel(), len(rows))
    return Agreement(
        alpha=_estimate(rows, pairs, drawn, krippendorff_alpha),
        ac1=_estimate(rows, pairs, drawn, gwet_ac1),
        raw=_estimate(rows, pairs, drawn, raw_agreement),
    )


def verdict_counts(votes: VoteColumns) -> Counts:
    """(N, 4) expressed votes of each pair that has one; columns as in `EXPRESSED`."""
    expressed = votes.expressed
    pairs, pair = np.unique(expressed.pair, return_inverse=True)
    cells = pair * len(EXPRESSED) + expressed.verdict
    return np.bincount(cells, minlength=len(pairs) * len(EXPRESSED)).reshape(-1, len(EXPRESSED))


def raw_agreement(counts: Counts, pairs: Numbers | None = None) -> float:
    """Mean over pairs of the share of their vote pairs that are equal.

        p_a = mean_n sum_k r_nk (r_nk - 1) / (r_n (r_n - 1)),   over pairs n with r_n >= 2 votes

    Args:
        counts: (N, K), at least one row with two votes.
        pairs: (N,) how many pairs have the counts of each row; one unless it is given.
    """
    judged, number = _with_votes(counts, pairs, at_least=2)
    total = judged.sum(1)
    return float(np.average((judged * (judged - 1)).sum(1) / (total * (total - 1)), weights=number))


def gwet_ac1(counts: Counts, pairs: Numbers | None = None) -> float:
    """Agreement beyond that of people who guess only where they cannot tell.

        AC1 = (p_a - p_e) / (1 - p_e),   p_e = sum_k pi_k (1 - pi_k) / (K - 1),   pi_k = mean_n r_nk / r_n

    Source: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement",
    British Journal of Mathematical and Statistical Psychology 61 (2008).

    Args:
        counts: (N, K), at least one row with two votes; K is the number of possible verdicts.
        pairs: (N,) as for `raw_agreement`.
    """
    voted, number = _with_votes(counts, pairs, at_least=1)
    share = np.average(voted / voted.sum(1, keepdims=True), axis=0, weights=number)
    chance = float((share * (1 - share)).sum() / (counts.shape[1] - 1))
    return (raw_agreement(counts, pairs) - chance) / (1 - chance)


def krippendorff_alpha(counts: Counts, pairs: Numbers | None = None) -> float:
    """One minus observed over expected disagreement; NaN where nobody disagrees on only one verdict.

        alpha = 1 - (v - 1) (v - sum_k o_k) / (v^2 - sum_k v_k^2),   o_k = sum_n r_nk (r_nk - 1) / (r_n - 1),

    over pairs n with r_n >= 2 votes, which have v votes in all, v_k of them for verdict k.

    Source: Krippendorff, "Content Analysis", chapter 12. The tests hold it against the package of that name.

    Args:
        counts: (N, K), at least one row with two votes.
        pairs: (N,) as for `raw_agreement`.
    """
    judged, number = _with_votes(counts, pairs, at_least=2)
    votes = number @ judged
    if np.count_nonzero(votes) < 2:
        return float("nan")
    equal = number @ ((judged * (judged - 1)).sum(1) / (judged.sum(1) - 1))
    total = float(votes.sum())
    return float(1 - (total - 1) * (total - equal) / (total**2 - (votes.astype(float) ** 2).sum()))


def _with_votes(counts: Counts, pairs: Numbers | None, at_least: int) -> tuple[Counts, Numbers]:
    number = np.ones(len(counts), dtype=np.int64) if pairs is None else pairs
    which = (counts.sum(1) >= at_least) & (number > 0)
    return counts[which], number[which]


def _estimate(counts: Counts, pairs: Numbers, drawn: Numbers, statistic: Statistic) -> Estimate:
    """A statistic with its bootstrap interval.

    Args:
        counts: (M, K) different rows.
        pairs: (M,) how many pairs have each.
        drawn: (draws, M) the same of bootstrap samples.
        statistic: of counts and pairs.
    """
    known, number = _with_votes(counts, pairs, at_least=2)
    judged = int(number.sum())
    if not judged:
        return Estimate.undefined("no pair has two votes")
    value = statistic(counts, pairs)
    if np.isnan(value):
        only = EXPRESSED[int((number @ known).argmax())]
        return Estimate.undefined(f"every vote is {only}, so chance cannot be told from agreement", judged)
    if judged == 1:
        return Estimate(value, None, None, 1, "no interval because only one pair has two votes")
    values = np.array([_of_sample(counts, sample, statistic) for sample in drawn])
    estimate = with_percentiles(value, values, judged)
    if not estimate.reason and np.isclose(np.nanmin(values), np.nanmax(values), rtol=0, atol=1e-12):
        return Estimate(value, None, None, judged, "no interval because every pair says the same")
    return estimate


def _of_sample(counts: Counts, sample: Numbers, statistic: Statistic) -> float:
    """The statistic of a bootstrap sample; NaN where none of its pairs has two votes."""
    return statistic(counts, sample) if sample[counts.sum(1) >= 2].any() else float("nan")


def _bootstrap(row_of: Numbers, num_rows: int) -> Numbers:
    """(draws, M) how many of N pairs have each row, where they are drawn with replacement from (N,) rows."""
    rng = np.random.default_rng(0)
    draws = DRAWS if len(row_of) <= MANY_PAIRS else max(200, DRAWS * MANY_PAIRS // len(row_of))
    if not len(row_of):
        return np.zeros((0, num_rows), dtype=np.int64)
    samples = (row_of[rng.integers(len(row_of), size=len(row_of))] for _ in range(draws))
    return np.array([np.bincount(sample, minlength=num_rows) for sample in samples])
