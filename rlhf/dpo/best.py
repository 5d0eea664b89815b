"""The best weights that a DPO run had, judged by people who are held out; what an early end goes back to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhf.dpo.held_out import EXCESS, LOSS
from rlhf.training.lora import trainable_state


@dataclass
class Best:
    """The averaged weights of the best evaluation pass so far, in main memory.

    A pass whose chosen error is within the limit is better than one beyond it, and then the lower loss is.
    """

    limit: float  # `FlowDPOConfig.max_excess`
    step: int = 0  # after which the pass was; 0 before the first
    _rank: tuple[bool, float] | None = None
    _values: dict[str, Tensor] = field(default_factory=dict)

    def update(self, model: nn.Module, figures: Mapping[str, float], step: int) -> None:
        """Keep the model's trained weights if this pass is the best so far.

        Without held-out pairs in its figures nothing is kept.
        """
        if EXCESS not in figures:
            return
        rank = (figures[EXCESS] > self.limit, figures[LOSS])
        if self._rank is None or rank < self._rank:
            self._rank, self.step = rank, step
            self._values = {name: value.clone().cpu() for name, value in trainable_state(model).items()}

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Give the model the best weights."""
        weights = trainable_state(model)
        for name, value in self._values.items():
            weights[name].copy_(value)

    def save(self, path: Path) -> None:
        """Write it exactly as it is; nothing before the first pass."""
        if self._rank is not None:
            facts = {"step": json.dumps(self.step), "rank": json.dumps(self._rank)}
            save_file(self._values, path, facts)

    def load(self, path: Path) -> None:
        """Restore what `save` wrote."""
        if path.exists():
            with safe_open(path, framework="pt") as file:
                facts = file.metadata()
            self.step = json.loads(facts["step"])
            beyond, loss = json.loads(facts["rank"])
            self._rank, self._values = (beyond, loss), load_file(path)
