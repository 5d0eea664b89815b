"""The command that does a whole run's work in its folder, and why it ended."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

LOG = "log.txt"
#: As much of a log as is read: its end.
TAIL_BYTES = 32_768
#: How long a command that is stopped may take to end by itself.
TERMINATE_S = 20
#: With less room than this nothing can be written any more, not even why.
FULL_BYTES = 1_000_000
#: What torchrun adds about processes that ended, of which only the first failure says something.
_REPORT = re.compile(
    r"^E\d{4} [^\n]*(failed \(exitcode: -?\d+\) local_rank: \d+).*?^Root Cause.*?^=+$",
    re.DOTALL | re.MULTILINE,
)
_FAILED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)$")


def argv(command: str, run: Path, devices: int) -> list[str]:
    """What does a run's work in its folder: one process, or one for each of several devices.

    Each of them reads standard input and ends when it closes, so none outlives a worker or a launcher that
    was killed. TERM reaches them through the launcher.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}"]
    return [sys.executable, *(launcher if devices > 1 else []), "-m", command, str(run), "--attached"]


def start(
    command: str, run: Path, log: IO[bytes], *, devices: int, folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a run's command in `folder`."""
    return subprocess.Popen(
        argv(command, run, devices),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )


def end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin:
        child.stdin.close()


def why_it_ended(run: Path, returncode: int) -> str:
    """In a line, from the log in the run's folder and from the machine."""
    if shutil.disk_usage(run).free < FULL_BYTES:
        return "No space left on the disk of the run folders; free some, then try again"
    if returncode < 0:
        return f"the command was ended by {_signal(returncode)}"
    last: list[str] = []
    with contextlib.suppress(FileNotFoundError), open(run / LOG, "rb") as log:
        log.seek(max(0, log.seek(0, 2) - TAIL_BYTES))
        last = last_lines(log.read(), 100)
    if last and (failed := _FAILED.search(last[-1])):
        return _why_one_failed(last, int(failed[1]), int(failed[2]))
    return last[-1] if last else f"the command ended with {returncode}"


def _why_one_failed(log: list[str], exitcode: int, rank: int) -> str:
    """Of several processes that train together: the others end, too, and say what they saw of it."""
    if exitcode < 0:
        return f"process {rank} of the command was ended by {_signal(exitcode)}"
    own = f"[rank{rank}]: "
    said = [line.removeprefix(own) for line in log if line.startswith(("error: ", own))]
    return said[-1] if said else f"process {rank} of the command ended with {exitcode}"


def _signal(returncode: int) -> str:
    name = signal.Signals(-returncode).name
    return f"{name}, most often because memory ran out" if name == "SIGKILL" else name


def last_lines(log: bytes, count: int) -> list[str]:
    """The last lines of a log; of a progress bar only what it showed last."""
    text = _REPORT.sub(r"\1", log.decode(errors="replace"))
    shown = (line.rstrip().rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in shown if line][-count:]
