"""The two branches of a pair on two devices: each process computes one and is told the other.

Processes 2k and 2k + 1 meet the same draws. The even one predicts the chosen videos and the odd one the
rejected ones; then they exchange errors and, for the guard, residuals. Both have the same loss, in which the
partner's errors are constants: the pair's gradient is the sum of theirs. A device holds the activations of
one branch, as with `split_branches`, and no forward pass is done twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset

from generator.rundir import RunError
from rlhf.training import processes
from rlhf.training.draws import PairDraws


class Partner:
    """The process that computes the other branch of the same draws.

    Attributes:
        branch: this process's own: 0 the chosen one, 1 the rejected one.

    Raises:
        RunError: an odd number of processes.
    """

    def __init__(self) -> None:
        """Meet it; all processes of the run must do so at the same place."""
        number = processes.number()
        if number % 2:
            raise RunError(
                f"branch_parallel is on, but the number of processes is {number}; "
                "start an even number, such as torchrun --nproc-per-node 2, or switch it off"
            )
        self._both, _ = distributed.new_subgroups(2)
        self.branch = distributed.get_rank(self._both)

    def exchange(self, mine: Tensor) -> Tensor:
        """What both have, the chosen branch's first, (2, ...), without gradient.

        The partner must ask at the same place, with a tensor of the same shape and type.
        """
        mine = mine.contiguous()
        both = [torch.empty_like(mine) for _ in range(2)]
        distributed.all_gather(both, mine, group=self._both)
        return torch.stack(both)


@dataclass(eq=False)
class SharedDraws(Dataset[dict[str, Tensor]]):
    """Each batch of a run twice, one after the other: as batches are dealt out, partners get the same one."""

    draws: PairDraws
    batch_size: int  # draws of a batch, of which `draws` has a whole number

    def __len__(self) -> int:
        """Twice the draws of the run."""
        return 2 * len(self.draws)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The draw at this place of the doubled run."""
        batch, position = divmod(index, self.batch_size)
        return self.draws[batch // 2 * self.batch_size + position]
