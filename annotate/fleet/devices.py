"""The devices of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass


class DeviceError(Exception):
    """There is no such device; one line with the remedy."""


@dataclass(frozen=True)
class Device:
    """A GPU by its number, or a part of the CPU, which has none."""

    number: int | None
    description: str
    part: int = 1
    num_parts: int = 1

    @property
    def label(self) -> str:
        if self.number is not None:
            return str(self.number)
        return "cpu" if self.part == 1 else f"cpu-{self.part}"

    @property
    def environment(self) -> dict[str, str]:
        """Of what computes there: the parts of a CPU share its cores out."""
        if self.num_parts == 1:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.num_parts))}


def chosen_devices(choice: str, cpu_devices: int) -> list[Device]:
    """The devices that `all`, or numbers such as `0,1,5`, names. Without a GPU, `all` is the CPU.

    Raises:
        DeviceError: there is none of such a number.
    """
    found = _gpus()
    if choice == "all":
        parts = range(1, cpu_devices + 1)
        return list(found.values()) or [Device(None, "CPU", part, cpu_devices) for part in parts]
    numbers = [part.strip() for part in choice.split(",") if part.strip()]
    unknown = [number for number in numbers if not number.isdecimal() or int(number) not in found]
    if unknown or not numbers:
        known = ", ".join(map(str, found)) or "none"
        raise DeviceError(
            f"--devices {choice!r}: this machine has no GPU {', '.join(unknown)}; it has {known}; use all"
        )
    return [found[int(number)] for number in dict.fromkeys(numbers)]


def _gpus() -> dict[int, Device]:
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
    lines = answer.stdout.splitlines() if answer.returncode == 0 else []
    rows = [line.split(",", 1) for line in lines if "," in line]
    return {int(number): Device(int(number), name.strip()) for number, name in rows}
