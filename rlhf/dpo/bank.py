"""The bank of reference errors: what the frozen policy answers to the finite set of draws, computed once.

A run draws its noise and times from a finite set for each pair (`FlowDPOConfig.draws_per_pair`). The frozen
policy answers a draw the same every time, so from the second pass over the set on its forward passes, a
quarter of a step's work, are left out. The file's name is a hash of everything that the answers depend
on, and a few of them are computed again when a bank is opened: a stale one is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.files import replacing
from generator.rundir import RunError
from rlhf.dpo.branch_parallel import Partner
from rlhf.training import processes
from rlhf.training.draws import Tensors

#: Errors of draws under the frozen policy, (2, B): row 0 chosen, row 1 rejected.
Compute = Callable[[Sequence[Tensors]], Tensor]
#: Relative; what is recomputed in the batch that it came from may differ by rounding alone.
TOLERANCE = 1e-6


class ReferenceBank:
    """A memory-mapped table (entries, 2) of float32 errors; NaN where a draw was never met.

    What is not finite is never kept, and never believed where another program left it: it is computed anew.

    An entry is written once, in the batch in which the run first meets its draw, and all readers get what
    is written. So a resumed run, which meets draws in the same batches, ends with the same bits. The
    processes of one machine share the file; each writes the entries of its own draws, partners the same ones.

    Args:
        folder: made when missing.
        key: hash of everything that the answers depend on; see `rlhf.dpo.reference.open_bank`.
        num_entries: size of the set of draws.

    Attributes:
        num_computed: draws that were answered by the policy.
        num_read: draws that were answered from the table.
    """

    def __init__(self, folder: Path, key: str, num_entries: int) -> None:
        """Open the table, or make an empty one."""
        self.path = folder / f"{key}.npy"
        self.num_computed = self.num_read = 0
        if processes.is_first_here() and not self.path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as partial, open(partial, "wb") as file:
                np.save(file, np.full((num_entries, 2), np.nan, np.float32))
        processes.wait()
        self._table = np.lib.format.open_memmap(self.path, mode="r+")

    @property
    def num_known(self) -> int:
        """Draws whose errors are in the table; a run meets them in the order of its draws."""
        return int(np.isfinite(self._table).all(axis=1).sum())

    def errors(
        self,
        draws: Sequence[Tensors],
        compute: Compute,
        partner: Partner | None = None,
        *,
        in_step: bool = False,
    ) -> Tensor:
        """Errors of the draws, read where all of them are known, else computed and kept.

        Args:
            draws: B items of `rlhf.training.draws.PairDraws`.
            compute: asked for all of them or for none, so that a batch stays a batch.
            partner: asks for the same draws at the same time; both compute where one of them does not know.
            in_step: all processes ask at the same time, and compute where one of them does not know.

        Returns:
            (2, B) float32, on the device of the draws; not finite where the policy answers so.
        """
        places, device = _places(draws), draws[0]["clean"].device
        unknown = ~np.isfinite(self._table[places])
        if partner:
            unknown = partner.exchange(torch.from_numpy(unknown).to(device)).any(0).cpu().numpy()
        asks = bool(unknown.any())
        if in_step:
            asks = processes.any_of_us(asks)
        if asks:
            fresh = compute(draws).detach().float().cpu().numpy().T
            answers = np.where(unknown, fresh, self._table[places])
            self._table[places] = np.where(np.isfinite(answers), answers, np.nan)
            self.num_computed += len(places)
        else:
            answers = self._table[places]
            self.num_read += len(places)
        return torch.from_numpy(answers.T.copy()).to(device)

    def check(self, batches: Sequence[Sequence[Tensors]], compute: Compute) -> int:
        """Compute entries again, each batch as the run first met its draws; gives how many were known.

        Raises:
            RunError: an entry is not what the frozen policy answers.
        """
        checked = 0
        for draws in batches:
            known = self._table[_places(draws)].T
            if not np.isfinite(known).all():
                continue
            fresh = compute(draws).float().cpu().numpy()
            off = np.abs(known / fresh - 1).max(axis=0)
            if not (off <= TOLERANCE).all():
                worst = int(off.argmax())
                entry, held, right = _places(draws)[worst], known[:, worst], fresh[:, worst]
                raise RunError(
                    f"{self.path}: entry {entry} is {held.tolist()}, but the frozen policy answers "
                    f"{right.tolist()}; delete the file"
                )
            checked += len(draws)
        return checked


def _places(draws: Sequence[Tensors]) -> list[int]:
    return [int(draw["entry"]) for draw in draws]
