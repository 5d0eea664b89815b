"""Exponential moving average of the weights that a run trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhf.training.lora import trainable_state


class MovingAverage:
    """The average, beside the model that it follows.

        average <- d * average + (1 - d) * weights      d = min(decay, (1 + step) / (10 + step))

    While few steps are done, d is small, so that the first weights are soon forgotten.

    Args:
        model: its parameters that require a gradient are averaged.
        decay: in [0, 1); 0 keeps no average, and the weights themselves stand for it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin at the weights as they are."""
        self.decay = decay
        self._model = model
        self._values: dict[str, Tensor] = {}
        self.begin()

    def begin(self) -> None:
        """Forget everything but the weights as they are."""
        if self.decay:
            self._values = {name: value.clone() for name, value in trainable_state(self._model).items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights after a step, of which the first is 1."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        weights = trainable_state(self._model) if self._values else {}
        for name, value in self._values.items():
            value.lerp_(weights[name], rate)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; no memory is taken, nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, path: Path) -> None:
        """Write the average exactly as it is; nothing when there is none."""
        if self._values:
            save_file({name: value.contiguous().cpu() for name, value in self._values.items()}, path)

    def load(self, path: Path) -> None:
        """Restore what `save` wrote."""
        saved = load_file(path) if self._values else {}
        for name, value in self._values.items():
            value.copy_(saved[name])

    def _swap(self) -> None:
        parameters = dict(self._model.named_parameters())
        for name, value in self._values.items():
            parameter = parameters[name]
            self._values[name], parameter.data = parameter.data, value
