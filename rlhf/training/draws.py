"""Which item meets which noise and which time at each step, as a pure function of the seed.

Nothing here uses a global random state: a resumed run sees exactly what the uninterrupted one would have
seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rlhf.objectives import draw_times
from rlhf.training.config import RunConfig

#: One pair's tensors: `clean` (2, C, F, H, W), chosen above rejected; `references` (C, R, H, W);
#: `prompt_embeds` (L, D). A draw adds `noise` (C, F, H, W) and `time` (); of a pair also see `PairDraws`.
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Draw:
    """One training sample of an item: of a pair (DPO) or an instance (SFT)."""

    item: int  # index of the item
    number: int  # how many samples of this item came before, counted anew where they begin to repeat
    noise_seed: int  # of the noise; chosen and rejected share it
    quantile: float  # of the time, in (0, 1); chosen and rejected share it


def draw(index: int, *, num_items: int, strata: int, seed: int, distinct: int = 0) -> Draw:
    """The draw at a place in the run: pass after pass over all items, each in its own random order.

    In `strata` consecutive passes an item meets each of `strata` equal parts of the time distribution once:
    with few items, that removes most of the noise that random times put into the loss.

    Args:
        index: place in the run, 0 is the first.
        num_items: at least 1.
        strata: parts of the time distribution.
        seed: of the run.
        distinct: samples of an item before noise and times repeat; 0 for never. Orders never repeat.
    """
    number, position = divmod(index, num_items)
    item = int(np.random.default_rng([seed, 0, number]).permutation(num_items)[position])
    number = number % distinct if distinct else number
    cycle, phase = divmod(number, strata)
    part = int(np.random.default_rng([seed, 1, item, cycle]).permutation(strata)[phase])
    rng = np.random.default_rng([seed, 2, item, number])
    noise_seed = int(rng.integers(2**63))
    inside = float(rng.uniform(1e-6, 1 - 1e-6))
    return Draw(item, number, noise_seed, (part + inside) / strata)


def noise_and_time(drawn: Draw, shape: Sequence[int], config: RunConfig) -> dict[str, Tensor]:
    """What a draw adds to its item: `noise` of the shape, standard normal, and `time` ().

    Raises:
        ValueError: the config's `time_shift` is still None.
    """
    if config.time_shift is None:
        raise ValueError("time_shift is None; set it to the sampler's flow shift before drawing")
    noise = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(drawn.noise_seed))
    time = draw_times(
        torch.tensor(drawn.quantile, dtype=torch.float64),
        mean=config.time_mean,
        std=config.time_std,
        shift=config.time_shift,
        low=config.time_low,
        high=config.time_high,
    )
    return {"noise": noise, "time": time.float()}


@dataclass(eq=False)
class PairDraws(Dataset[dict[str, Tensor]]):
    """Every draw of a run, in order; nothing is loaded before it is asked for."""

    pairs: Sequence[Tensors]
    config: RunConfig
    length: int  # draws in all
    distinct: int = field(default=0, kw_only=True)  # see `draw`
    weights: Sequence[float] | None = field(default=None, kw_only=True)  # of gradients; None for 1 each

    def __len__(self) -> int:
        """Draws in the run."""
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The pair's tensors with the noise and the time of this draw.

        Also, () each: `quantile` of the time, `weight` of the pair, and `entry`, the draw's place in the set
        of distinct ones.

        Raises:
            IndexError: the run has no such draw.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"draw {index} of {self.length}")
        config = self.config
        one = draw(
            index,
            num_items=len(self.pairs),
            strata=config.time_strata,
            seed=config.seed,
            distinct=self.distinct,
        )
        pair = self.pairs[one.item]
        return {
            **pair,
            **noise_and_time(one, pair["clean"].shape[1:], config),
            "quantile": torch.tensor(one.quantile),
            "weight": torch.tensor(1.0 if self.weights is None else self.weights[one.item]),
            "entry": torch.tensor(one.number * len(self.pairs) + one.item),
        }
