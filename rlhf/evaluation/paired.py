"""Two models on the same instances and seeds: how often is the candidate better, and by how much?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """The candidate against the baseline by one score.

    Attributes:
        win_rate: share of comparisons that the candidate wins; a tie counts half.
        low: lower end of the 95 % interval of `win_rate`.
        high: upper end.
        n: comparisons: instances times seeds.
        num_instances: independent ones among them; below about ten, no interval is to be trusted.
        baseline_mean: mean score of the baseline.
        candidate_mean: mean score of the candidate.
        gain: candidate_mean - baseline_mean.
        gain_low: lower end of its 95 % interval.
        gain_high: upper end.
    """

    win_rate: float
    low: float
    high: float
    n: int
    num_instances: int
    baseline_mean: float
    candidate_mean: float
    gain: float
    gain_low: float
    gain_high: float
    interval: str = "percentile bootstrap over instances, 95 %"

    def to_json(self) -> dict[str, float | int | str]:
        """All fields, rounded to what the numbers can bear."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


def compare(baseline: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]) -> Comparison:
    """Compare paired scores.

    Seeds of one instance are not independent, so the bootstrap draws whole instances.

    Args:
        baseline: scores (instances, seeds), higher is better.
        candidate: as `baseline`, of the same instances and seeds.

    Returns:
        Win rate and gain with their intervals; equal inputs give equal intervals.

    Raises:
        ValueError: shapes differ, or there is nothing to compare.
    """
    before, after = (np.asarray(scores, dtype=np.float64) for scores in (baseline, candidate))
    if before.shape != after.shape or before.ndim != 2 or not before.size:
        raise ValueError(
            f"scores have shapes {before.shape} and {after.shape}; both must be (instances, seeds)"
        )
    wins = ((np.sign(after - before) + 1) / 2).mean(axis=1)
    gains = (after - before).mean(axis=1)
    low, high = _interval(wins)
    gain_low, gain_high = _interval(gains)
    return Comparison(
        win_rate=float(wins.mean()),
        low=low,
        high=high,
        n=before.size,
        num_instances=len(before),
        baseline_mean=float(before.mean()),
        candidate_mean=float(after.mean()),
        gain=float(gains.mean()),
        gain_low=gain_low,
        gain_high=gain_high,
    )


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values`."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
