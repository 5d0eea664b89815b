"""Which pair meets which noise and which time at each step, as a pure function of the seed.

Nothing here uses a global random state: a resumed run sees exactly what the uninterrupted one would have
seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rlhf.dpo_config import FlowDPOConfig
from rlhf.objectives import draw_times

#: One pair's tensors: `clean` (2, C, F, H, W), chosen above rejected; `references` (C, R, H, W);
#: `prompt_embeds` (L, D). A draw adds `noise` (C, F, H, W) and `time` ().
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Draw:
    """One look at one pair.

    Attributes:
        pair: index of the pair.
        noise_seed: of the noise that chosen and rejected share.
        quantile: of the time that both share, in (0, 1).
    """

    pair: int
    noise_seed: int
    quantile: float


def draw(index: int, *, num_pairs: int, strata: int, seed: int) -> Draw:
    """The draw at a place in the run: pass after pass over all pairs, each in its own random order.

    In `strata` consecutive passes a pair meets each of `strata` equal parts of the time distribution once:
    with few pairs, that removes most of the noise that random times put into the loss.

    Args:
        index: place in the run, 0 is the first.
        num_pairs: at least 1.
        strata: parts of the time distribution.
        seed: of the run.
    """
    number, position = divmod(index, num_pairs)
    pair = int(np.random.default_rng([seed, 0, number]).permutation(num_pairs)[position])
    cycle, phase = divmod(number, strata)
    part = int(np.random.default_rng([seed, 1, pair, cycle]).permutation(strata)[phase])
    rng = np.random.default_rng([seed, 2, pair, number])
    noise_seed = int(rng.integers(2**63))
    inside = float(rng.uniform(1e-6, 1 - 1e-6))
    return Draw(pair, noise_seed, (part + inside) / strata)


class PairDraws(Dataset[dict[str, Tensor]]):
    """Every draw of a run, in order.

    Args:
        pairs: loads a pair's tensors; indexable, with a length.
        config: of the run.
        length: draws in all.
    """

    def __init__(self, pairs: Sequence[Tensors], config: FlowDPOConfig, length: int) -> None:
        """Remember where the pairs are; nothing is loaded."""
        self.pairs, self.config, self.length = pairs, config, length

    def __len__(self) -> int:
        """Draws in the run."""
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The pair's tensors with the noise and the time of this draw."""
        config = self.config
        one = draw(index, num_pairs=len(self.pairs), strata=config.time_strata, seed=config.seed)
        pair = self.pairs[one.pair]
        generator = torch.Generator().manual_seed(one.noise_seed)
        noise = torch.randn(pair["clean"].shape[1:], generator=generator)
        time = draw_times(
            torch.tensor(one.quantile, dtype=torch.float64),
            mean=config.time_mean,
            std=config.time_std,
            shift=config.time_shift,
            low=config.time_low,
            high=config.time_high,
        )
        return {**pair, "noise": noise, "time": time.float()}
