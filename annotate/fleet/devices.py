"""The devices of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


class DeviceError(Exception):
    """There is no such device; one line with the remedy."""


@dataclass(frozen=True)
class Device:
    """A GPU by its number, or the CPU (None)."""

    number: int | None
    description: str

    @property
    def label(self) -> str:
        return "cpu" if self.number is None else str(self.number)


def chosen_devices(choice: str) -> list[Device]:
    """The devices that `all`, or numbers such as `0,1,5`, names. Without a GPU, `all` is the CPU.

    Raises:
        DeviceError: there is none of such a number.
    """
    found = _gpus()
    if choice == "all":
        return list(found.values()) or [Device(None, "CPU")]
    numbers = [part.strip() for part in choice.split(",") if part.strip()]
    unknown = [number for number in numbers if not number.isdecimal() or int(number) not in found]
    if unknown or not numbers:
        known = ", ".join(map(str, found)) or "none"
        raise DeviceError(
            f"--devices {choice!r}: this machine has no GPU {', '.join(unknown)}; it has {known}; use all"
        )
    return [found[int(number)] for number in dict.fromkeys(numbers)]


def count(devices: Sequence[Device], cpu_devices: int) -> int:
    """Over how many of them a whole run may be spread; the CPU counts as `cpu_devices`."""
    return cpu_devices if devices[0].number is None else len(devices)


def _gpus() -> dict[int, Device]:
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
    lines = answer.stdout.splitlines() if answer.returncode == 0 else []
    rows = [line.split(",", 1) for line in lines if "," in line]
    return {int(number): Device(int(number), name.strip()) for number, name in rows}
