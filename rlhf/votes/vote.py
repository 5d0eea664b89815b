"""One vote as the statistics read it, and a figure that may be undefined."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rlhf.records import Track, Verdict, choice_of

#: Every interval of these statistics covers this share, unless it says otherwise.
COVERAGE = 0.95


@dataclass(frozen=True)
class Vote:
    """What one person said of one pair on one track; of several revisions the last.

    Raises:
        ValueError: `gold` is an abstention.
    """

    pair: int  # key of the pair
    track: Track  # the question
    annotator: int  # key of the person
    verdict: Verdict  # in terms of the samples
    first_on_left: bool  # whether the first sample was shown on the left
    active_s: float | None = None  # seconds of active looking; None where they were not recorded
    gold: Verdict | None = None  # the known answer of a gold pair; None elsewhere

    def __post_init__(self) -> None:
        """Refuse an answer that nobody can know."""
        if self.gold is Verdict.UNSURE:
            raise ValueError(
                f"the known answer of gold pair {self.pair} is unsure; give an expressed verdict"
            )

    @property
    def answer(self) -> str:
        """What the person saw themselves choose; sides matter because people favour them."""
        return choice_of(self.verdict, first_on_left=self.first_on_left)


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, or the reason why there is none."""

    value: float | None  # None where the figure is undefined; never NaN
    low: float | None  # lower end of the interval; None where there is none
    high: float | None  # upper end
    count: int  # what it was counted over, such as votes or pairs
    reason: str = ""  # why value or interval is missing; empty where both are there

    @classmethod
    def undefined(cls, reason: str, count: int = 0) -> Estimate:
        """No figure, and why."""
        return cls(None, None, None, count, f"undefined because {reason}")


def with_percentiles(value: float, drawn: NDArray[np.float64], count: int) -> Estimate:
    """A figure with the percentiles of its bootstrap samples, NaN where the figure is undefined in one."""
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < COVERAGE * len(drawn):
        missing = len(drawn) - len(defined)
        reason = f"no interval because it is undefined in {missing} of {len(drawn)} bootstrap samples"
        return Estimate(value, None, None, count, reason)
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(value, float(low), float(high), count)


def share(successes: float, trials: int, *, what: str) -> Estimate:
    """A share with its Wilson score interval.

        (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n),   p = successes / trials

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Args:
        successes: 0 to `trials`; a sum of parts of successes is allowed.
        trials: 0 or more.
        what: what the trials are, in the plural; for the reason why there is no share.
    """
    if not trials:
        return Estimate.undefined(f"there are no {what}")
    z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
    value, per_trial = successes / trials, z * z / trials
    middle = value + per_trial / 2
    half = sqrt(value * (1 - value) * per_trial + per_trial**2 / 4)
    low, high = ((middle + sign * half) / (1 + per_trial) for sign in (-1, 1))
    return Estimate(value, max(0.0, low), min(1.0, high), trials)
