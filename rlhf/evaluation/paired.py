"""Two models on the same instances and seeds: how often is the candidate better, and by how much?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
#: Scores in groups of one person each; those of one person are not independent.
Groups = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Comparison:
    """The candidate against the baseline by one score."""

    win_rate: float  # share of comparisons that the candidate wins; a tie counts half
    low: float  # lower end of the 95 % interval of `win_rate`
    high: float  # upper end
    n: int  # comparisons: videos of an instance and seed that both models have
    num_identities: int  # independent ones among them; below about ten, no interval is to be trusted
    baseline_mean: float  # mean score of the baseline
    candidate_mean: float  # mean score of the candidate
    gain: float  # candidate_mean - baseline_mean
    gain_low: float  # lower end of its 95 % interval
    gain_high: float  # upper end
    interval: str = "percentile bootstrap over identities, 95 %"

    def to_json(self) -> dict[str, float | int | str]:
        """All fields, rounded to what the numbers can bear."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


def compare(baseline: Groups, candidate: Groups) -> Comparison:
    """Compare paired scores.

    Videos of one person are not independent, so the bootstrap draws whole people.

    Args:
        baseline: scores by person, higher is better; people may have different numbers of them.
        candidate: as `baseline`, of the same instances and seeds.

    Returns:
        Win rate and gain with their intervals; equal inputs give equal intervals.

    Raises:
        ValueError: the scores are no pairs, or there is nothing to compare.
    """
    before, after = (
        [np.asarray(group, dtype=np.float64) for group in groups] for groups in (baseline, candidate)
    )
    if not before or [len(group) for group in before] != [len(group) for group in after]:
        raise ValueError(
            f"{len(before)} and {len(after)} people have scores, and not equally many each; give pairs"
        )
    wins = [(np.sign(b - a) + 1) / 2 for a, b in zip(before, after, strict=True)]
    gains = [b - a for a, b in zip(before, after, strict=True)]
    win_rate, low, high = mean_with_interval(wins)
    gain, gain_low, gain_high = mean_with_interval(gains)
    return Comparison(
        win_rate=win_rate,
        low=low,
        high=high,
        n=sum(map(len, before)),
        num_identities=len(before),
        baseline_mean=float(np.concatenate(before).mean()),
        candidate_mean=float(np.concatenate(after).mean()),
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
    )


def mean_with_interval(groups: Sequence[NDArray[np.float64]] | Groups) -> tuple[float, float, float]:
    """The mean of all values, and its percentile bootstrap interval over whole groups.

    Args:
        groups: values of one person each, at least one.

    Returns:
        Mean, lower and upper end of the 95 % interval.

    Raises:
        ValueError: an empty group, or none.
    """
    counts = np.array([len(group) for group in groups])
    if not counts.size or not counts.all():
        raise ValueError("a mean was asked for where there are no values")
    sums = np.array([np.sum(group) for group in groups])
    rng = np.random.default_rng(0)
    draws = rng.integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(sums.sum() / counts.sum()), float(low), float(high)
