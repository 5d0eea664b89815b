"""Why a worker cannot do a shard or a run, each in a line, and whether another worker might."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OUT_OF_MEMORY = ("OutOfMemoryError", "out of memory", "not enough memory")
_DRIVER = ("CUDA error", "CUDA driver", "NVIDIA driver", "CUDA-capable", "cuDNN error", "HIP error")


@dataclass(frozen=True)
class Fault:
    """What went wrong; `is_the_workers` where it says nothing of the shard."""

    line: str
    is_the_workers: bool


def wrong_software(worker: str, mine: str, wanted: str) -> Fault:
    return Fault(f"{worker} has version {mine} of this software, and the site {wanted}; update it", True)


def too_few_devices(worker: str, mine: int, wanted: int) -> Fault:
    line = f"{worker} has {mine} devices, and the run needs {wanted}"
    return Fault(f"{line}; start a worker where there are as many, or set CPU_DEVICES", True)


def no_model(worker: str, request: Mapping[str, Any]) -> Fault | None:
    """Where the base that a request names by its path is not on this machine."""
    model = request.get("model")
    base = model.get("base") if isinstance(model, dict) else None
    if not isinstance(base, str) or not os.path.isabs(base) or os.path.isdir(base):
        return None
    return Fault(f"{worker} has no model {base}; copy the folder to the same place on that machine", True)


def no_storage(worker: str, error: OSError) -> Fault:
    return Fault(f"{worker} cannot reach the storage: {error}", True)


def no_request(worker: str, error: Exception) -> Fault:
    line = " ".join(str(error).split())
    return Fault(f"{worker} cannot read the run's request: {type(error).__name__} {line}", False)


def busy_device(worker: str) -> Fault:
    return Fault(f"{worker} waits, because a training or evaluation has its devices", True)


def command_failed(worker: str, line: str) -> Fault:
    """Why the command of a whole run has ended; a machine's driver says nothing of the run."""
    if any(sign in line for sign in _DRIVER):
        return Fault(f"{worker}: its driver or device failed: {line}", True)
    return Fault(line, False)


def ended(worker: str, returncode: int, last_line: str) -> Fault:
    """Why the process that makes videos has ended."""
    if returncode < 0 and not last_line.startswith("error"):
        name = signal.Signals(-returncode).name
        hint = ", most often because the machine's memory ran out" if name == "SIGKILL" else ""
        return Fault(f"{worker}: the sampler was ended by {name}{hint}", False)
    line = last_line.removeprefix("error: ") or f"the sampler ended with {returncode}"
    if any(sign in line for sign in _OUT_OF_MEMORY):
        return Fault(f"{worker}: memory ran out: {line}", False)
    if any(sign in line for sign in _DRIVER):
        return Fault(f"{worker}: its driver or device failed: {line}", True)
    return Fault(f"{worker}: {line}", False)
