"""The command line of a whole run, for every worker that starts one, with a database or without."""

from __future__ import annotations

import sys
from pathlib import Path


def run_command(module: str, folder: Path, devices: int = 1) -> list[str]:
    """What does a run's work in its folder: one process, or one for each of several devices.

    Each of them reads standard input and ends when it closes, so none outlives a worker or a launcher that
    was killed. TERM reaches them through the launcher.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}"]
    return [sys.executable, *(launcher if devices > 1 else []), "-m", module, str(folder), "--attached"]
