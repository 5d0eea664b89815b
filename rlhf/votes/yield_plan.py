"""From a pilot: how many pairs and hours of looking a number of exported pairs will cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf.votes.vote import COVERAGE, Estimate, share

#: Samples of the predictive distribution.
DRAWS = 10_000


@dataclass(frozen=True)
class PilotPair:
    """One finished pair of a pilot."""

    is_dominant: bool  # whether it can be exported
    active_s: tuple[float, ...]  # seconds that each of its votes took, over both tracks; at least one


@dataclass(frozen=True)
class YieldPlan:
    """What a number of exported pairs will take, with 95 % prediction intervals."""

    dominance: Estimate  # share of pairs that can be exported
    pairs: Estimate  # to be judged
    votes: Estimate  # to be given
    hours: Estimate  # of people's active looking


def plan_yield(pilot: Sequence[PilotPair], wanted: int, *, seed: int = 0) -> YieldPlan:
    """Predict what `wanted` exported pairs will cost.

        theta ~ Beta(d + 1/2, n - d + 1/2)                 d dominant ones of n pilot pairs (Jeffreys)
        pairs = wanted + NegativeBinomial(wanted, theta)   so many fail before the last wanted one
        hours = sum over kinds k of pairs_k (mean_k + sd_k t_k / sqrt(n_k)) + sqrt(pairs_k) sd_k z_k


    where a kind has n_k pilot pairs, t_k is of Student's distribution with n_k - 1 degrees of freedom (the
    kind's true mean) and z_k is normal (the campaign's luck). Dominant pairs and others are two kinds, since
    stopping makes the others cheaper; a pilot without others lends them the dominant ones' cost. One pair of
    a kind cannot tell how its cost scatters: none is claimed.

    Args:
        pilot: finished pairs, judged by the same rule as the campaign will be.
        wanted: exported pairs, at least 1.
        seed: of the sampling.

    Returns:
        Medians and intervals; undefined where the pilot cannot say.

    Raises:
        ValueError: `wanted` is below 1.
    """
    if wanted < 1:
        raise ValueError(f"wanted is {wanted}; plan for at least 1 exported pair")
    dominant = [pair for pair in pilot if pair.is_dominant]
    others = [pair for pair in pilot if not pair.is_dominant]
    dominance = share(len(dominant), len(pilot), what="finished pilot pairs")
    if not dominant:
        reason = f"none of {len(pilot)} pilot pairs is dominant; judge more of them"
        none = Estimate.undefined(reason, len(pilot)) if pilot else dominance
        return YieldPlan(dominance, none, none, none)
    rng = np.random.default_rng(seed)
    theta = rng.beta(len(dominant) + 0.5, len(others) + 0.5, DRAWS)
    failed = rng.negative_binomial(wanted, theta)
    votes, seconds = np.zeros(DRAWS), np.zeros(DRAWS)
    for kind, number in ((dominant, np.full(DRAWS, wanted)), (others or dominant, failed)):
        counts = np.array([[len(pair.active_s), sum(pair.active_s)] for pair in kind], dtype=float)
        total = _totals(counts, number, rng)
        votes, seconds = votes + total[:, 0], seconds + total[:, 1]
    return YieldPlan(
        dominance=dominance,
        pairs=_predicted(wanted + failed.astype(float), len(pilot)),
        votes=_predicted(votes, len(pilot)),
        hours=_predicted(seconds / 3600, len(pilot)),
    )


def _totals(
    costs: NDArray[np.float64], number: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(DRAWS, 2) costs of `number` pairs of a kind, from the (n, 2) costs of its pilot pairs."""
    n = len(costs)
    spread = costs.std(0, ddof=1) if n > 1 else np.zeros(2)
    mean = costs.mean(0) + spread * rng.standard_t(max(1, n - 1), DRAWS)[:, None] / np.sqrt(n)
    scatter = spread * rng.standard_normal(DRAWS)[:, None] * np.sqrt(number)[:, None]
    return np.maximum(0.0, mean * number[:, None] + scatter)


def _predicted(draws: NDArray[np.float64], count: int) -> Estimate:
    low, middle, high = np.quantile(draws, [(1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2])
    return Estimate(float(middle), float(low), float(high), count)
