"""Paired timing: what is compared runs in turns, so that a busy machine slows both alike."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

OUTPUT = Path("var/bench")


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one run; the work must wait for its device itself."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_mb(field: str) -> float:
    """Megabytes of this process: `VmRSS` has those of now, `VmHWM` the most that there were (Linux)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def take_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of both in each round of the order ours, theirs, theirs, ours; each once before, untimed.

    Over such a round a drift of the machine cancels. A round's figure is the mean of its two runs.
    """
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        first, second, third, fourth = (seconds(work) for work in (ours, theirs, theirs, ours))
        times[0].append((first + fourth) / 2)
        times[1].append((second + third) / 2)
    return times


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def median_interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(np.asarray(values), size=(draws, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def machine() -> dict[str, Any]:
    """Where figures come from."""
    import diffusers
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The CPU's name; platform knows none on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def report(name: str, rows: Sequence[Mapping[str, Any]], **facts: Any) -> Path:
    """Print rows as a table and write them with the machine and other facts to `var/bench/<name>.json`."""
    shown = [{key: _short(value) for key, value in row.items()} for row in rows]
    widths = {key: max(len(key), *(len(row[key]) for row in shown)) for key in rows[0]}
    print("  ".join(f"{key:>{width}}" for key, width in widths.items()))
    for row in shown:
        print("  ".join(f"{row[key]:>{width}}" for key, width in widths.items()))
    path = OUTPUT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **facts, "rows": list(rows)}, indent=1) + "\n")
    print(f"written to {path}")
    return path


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (tuple, list)):
        return "-".join(_short(item) for item in value)
    return "-" if value is None else str(value)
