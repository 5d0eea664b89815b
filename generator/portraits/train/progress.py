"""What a training prints on the way, and the file from which it goes on."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generator.files import replacing


class Log:
    """Every 50 steps one line: the step, the seconds so far, and the mean of the last 50 of each figure."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._figures: dict[str, list[float]] = defaultdict(list)

    def add(self, step: int, **figures: float) -> None:
        """Note the figures of a step, such as its loss."""
        for name, value in figures.items():
            self._figures[name].append(value)
        if (step + 1) % 50 == 0:
            means = {name: round(float(np.mean(last[-50:])), 4) for name, last in self._figures.items()}
            line = {"step": step + 1, "s": round(time.monotonic() - self._began), **means}
            print(json.dumps(line), flush=True)


def is_checkpoint(step: int, steps: int) -> bool:
    """Whether the state is saved after a step: every 250, and after the last."""
    return (step + 1) % 250 == 0 or step + 1 == steps


def save_state(path: Path, **state: Any) -> None:
    """Write what `load_state` gives back, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load_state(path: Path) -> dict[str, Any] | None:
    """The saved state; None where nothing was saved yet."""
    return torch.load(path, weights_only=True) if path.is_file() else None
