"""The process that makes parts of runs and keeps its model loaded from one shard to the next."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil

#: How long a process may take to end by itself.
TERMINATE_S = 20
#: A process that has grown by so much since its first shard is replaced.
GROWTH_BYTES = 4 << 30
#: As many lines of its log as are kept.
LOG_LINES = 200


class Resident:
    """`python -m MODULE`, started when it is needed: see `generator.parts`.

    Args:
        folder: in which it starts.
        environment: of it.
        stand_in: a module that is started in the place of any other.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], stand_in: str = "") -> None:
        self.folder, self.environment, self.stand_in = folder, environment, stand_in
        self.holds = ("", "")
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._is_done = False
        self._first_bytes = 0

    def begin(self, module: str, loaded: str, run: Path) -> None:
        """Have a folder worked on, by a new process where the present one has something else loaded."""
        if self.holds != (module, loaded) or self.ended is not None:
            self.let_go()
        if self._process is None:
            self._start(self.stand_in or module)
        self.holds, self._is_done = (module, loaded), False
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has just ended, which its status tells
            self._process.stdin.write(f"{run}\n")
            self._process.stdin.flush()

    @property
    def is_done(self) -> bool:
        """Whether the folder is finished."""
        return self._is_done

    @property
    def ended(self) -> int | None:
        """The status with which the process has ended; None while it lives."""
        return self._process.poll() if self._process is not None else None

    def rest(self) -> None:
        """Between two shards: replace a process whose memory grows."""
        if self._process is None or self.ended is not None:
            return
        size = psutil.Process(self._process.pid).memory_info().rss
        self._first_bytes = self._first_bytes or size
        if size > self._first_bytes + GROWTH_BYTES:
            self.let_go()

    def let_go(self) -> None:
        """End the process, and free what it holds."""
        process, self._process = self._process, None
        self._first_bytes = 0
        if process is None:
            return
        process.terminate()
        try:
            process.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()

    def _start(self, module: str) -> None:
        self.log.clear()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        threading.Thread(target=self._read_answers, args=[self._process.stdout], daemon=True).start()
        self._reader = threading.Thread(target=self._read_log, args=[self._process.stderr], daemon=True)
        self._reader.start()

    def why_it_ended(self) -> str:
        """The last line that it wrote."""
        self._reader.join(5)
        return next((line for line in reversed(self.log) if line), "")

    def _read_answers(self, answers: IO[str]) -> None:
        with answers:
            for _ in answers:
                self._is_done = True

    def _read_log(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.log.append(line.rstrip().rpartition("\r")[2])
