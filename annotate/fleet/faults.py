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
    """Where a base that a request names by its path is not on this machine."""
    systems = request.get("systems")
    owners = [request, *(systems.values() if isinstance(systems, dict) else [])]
    models = [owner.get("model") for owner in owners if isinstance(owner, dict)]
    for base in [model.get("base") for model in models if isinstance(model, dict)]:
        if isinstance(base, str) and os.path.isabs(base) and not os.path.isdir(base):
            line = f"{worker} has no model {base}; copy the folder to the same place on that machine"
            return Fault(line, True)
    return None


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
    """Why the process that makes the items of a shard has ended."""
    if returncode < 0 and not last_line.startswith("error"):
        name = signal.Signals(-returncode).name
        hint = ", most often because the machine's memory ran out" if name == "SIGKILL" else ""
        return Fault(f"{worker}: its process was ended by {name}{hint}", False)
    line = last_line.removeprefix("error: ") or f"its process ended with {returncode}"
    if any(sign in line for sign in _OUT_OF_MEMORY):
        return Fault(f"{worker}: memory ran out: {line}", False)
    if any(sign in line for sign in _DRIVER):
        return Fault(f"{worker}: its driver or device failed: {line}", True)
    return Fault(f"{worker}: {line}", False)
