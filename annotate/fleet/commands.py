"""The command that does a whole run's work in its folder, and why it ended."""

from __future__ import annotations

import contextlib
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


def start(
    command: str, run: Path, log: IO[bytes], *, folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `python -m COMMAND RUN --attached` in `folder`.

    It ends by itself when its standard input closes, so it never outlives a killed worker.
    """
    return subprocess.Popen(
        [sys.executable, "-m", command, str(run), "--attached"],
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
        name = signal.Signals(-returncode).name
        hint = ", most often because memory ran out" if name == "SIGKILL" else ""
        return f"the command was ended by {name}{hint}"
    last: list[str] = []
    with contextlib.suppress(FileNotFoundError), open(run / LOG, "rb") as log:
        log.seek(max(0, log.seek(0, 2) - TAIL_BYTES))
        last = last_lines(log.read(), 1)
    return last[0] if last else f"the command ended with {returncode}"


def last_lines(log: bytes, count: int) -> list[str]:
    """The last lines of a log; of a progress bar only what it showed last."""
    shown = (line.rstrip().rpartition("\r")[2].rstrip() for line in log.decode(errors="replace").split("\n"))
    return [line for line in shown if line][-count:]
