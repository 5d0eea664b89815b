"""Which numbers a device computes in: bfloat16 where it is faster there, else float32.

bfloat16 halves the memory and, on devices with units for it, the time. A CPU without such units emulates it:
on one with AVX2 alone a training step of the shipped model takes ten times as long, and nothing in the result
says why. So nobody has to know their processor: a fraction of a second of the very arithmetic decides.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

#: bfloat16 is chosen below this many seconds per second of float32: rounding has to be worth its while, and
#: the choice must not flip with the noise of a clock. Measured on an AMD EPYC: 0.3 with AVX512_BF16, 1.2 with
#: AVX-512 alone, 17 to 45 with AVX2.
WORTHWHILE = 0.75
#: Rows, columns in and columns out of the product that is measured: a feed-forward of the shipped model.
_SHAPE = (256, 192, 768)
_ROUNDS = 8
PRECISION_FILE = "precision.json"


@dataclass(frozen=True)
class Precision:
    """The numbers that a run computes in, and what its device is fast at."""

    #: Whether they are bfloat16; float32 otherwise. What is trained is float32 in both.
    bf16: bool
    device: str  # "cuda" or "cpu"
    suits_bf16: bool  # whether the device is faster in bfloat16
    #: Seconds that bfloat16 takes on the device per second of float32; None where nobody measured.
    slowdown: float | None = None

    @property
    def name(self) -> str:
        """As torch spells it."""
        return "bfloat16" if self.bf16 else "float32"

    @property
    def dtype(self) -> torch.dtype:
        """Of frozen weights and of activations."""
        return torch.bfloat16 if self.bf16 else torch.float32

    @property
    def attention(self) -> str | None:
        """The backend of `generator.model.kernels` that trains fastest; None for Diffusers' own choice.

        On a CPU the fused kernel's backward pass takes up to twice as long in bfloat16 as plain products.
        """
        return "_native_math" if self.bf16 and self.device == "cpu" else None

    def autocast(self) -> torch.autocast:
        """Round the factors of products to these numbers; float32 weights stay what they are."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def to_json(self) -> dict[str, Any]:
        """For a run's result."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Precision:
        """The inverse of `to_json`."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        line = f"computes in {self.name} on {self.device}"
        measured = f"where bfloat16 takes {self.slowdown or 0:.1f} times as long as float32"
        return line if self.slowdown is None else f"{line}, {measured}"


def choose_precision(
    bf16: bool | None = None, *, device: str | None = None, exact: bool = False
) -> Precision:
    """What the device of this process does well.

    Args:
        bf16: what was asked for; None leaves it to the device.
        device: "cuda" or "cpu"; None for the GPU where there is one.
        exact: whether the result is shown and compared, as videos are: a CPU then takes float32, however fast
            it is in bfloat16. A GPU does not: in float32 a large model would not fit.
    """
    if device == "cuda" or (device is None and torch.cuda.is_available()):
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision(has_units if bf16 is None else bf16, "cuda", has_units)
    slowdown = bfloat16_slowdown()
    suits = slowdown < WORTHWHILE
    return Precision(suits and not exact if bf16 is None else bf16, "cpu", suits, round(slowdown, 2))


def settle_precision(folder: Path, bf16: bool | None = None, *, device: str | None = None) -> Precision:
    """The precision of all work in a folder: chosen by whoever comes first, and kept.

    A run that goes on elsewhere, and each process of one that shares its work, computes in the numbers in
    which the run began.

    Args:
        folder: of the run.
        bf16: see `choose_precision`.
        device: see `choose_precision`.

    Raises:
        ValueError: the work began in other numbers than are asked for now.
    """
    path = folder / PRECISION_FILE
    if not path.is_file():
        mine = path.with_name(f".{PRECISION_FILE}.{os.getpid()}")
        mine.write_text(json.dumps(choose_precision(bf16, device=device).to_json()) + "\n", encoding="ascii")
        with suppress(FileExistsError):  # another process was first
            os.link(mine, path)
        mine.unlink()
    kept = Precision.from_json(json.loads(path.read_text(encoding="ascii")))
    if bf16 not in (None, kept.bf16):
        asked = "bfloat16" if bf16 else "float32"
        raise ValueError(f"{folder} began in {kept.name}, not {asked}; go on so, or begin in another folder")
    return kept


@functools.cache
def bfloat16_slowdown() -> float:
    """Seconds that a linear layer takes in bfloat16 per second of float32, there and back, on this CPU.

    The least processor time of a few rounds each, taken in turn, so that other work on the machine changes
    nothing. It is measured rather than read off the processor's flags: libraries can be told to use fewer
    instructions than there are (`ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA`), or do not use all of them.
    """
    rows, columns, width = _SHAPE
    kinds = (torch.float32, torch.bfloat16)
    layers = [nn.Linear(columns, width).to(kind) for kind in kinds]
    inputs = [torch.ones(rows, columns, dtype=kind, requires_grad=True) for kind in kinds]
    best = [float("inf"), float("inf")]
    for turn in range(_ROUNDS + 1):
        for index, (layer, given) in enumerate(zip(layers, inputs, strict=True)):
            began = time.process_time()
            layer(given).sum().backward()
            if turn:  # the first one prepares the kernels
                best[index] = min(best[index], time.process_time() - began)
    return best[1] / best[0]
