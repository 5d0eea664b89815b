"""Child processes: start, log, restart, stop, and clear away those of a supervisor that was killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

LOG_LIMIT_BYTES = 10_000_000
STEADY_S = 60.0
LONGEST_PAUSE_S = 30.0


class ServiceError(Exception):
    """The site cannot start; the message is one line that names the reason and the remedy."""


@dataclass(frozen=True)
class Command:
    """What to run and how to end it: `stop_signal` first, everything in its group after `patience_s`."""

    name: str
    argv: list[str]
    stop_signal: signal.Signals = signal.SIGTERM
    patience_s: float = 15.0
    is_ready: Callable[[], bool] = lambda: True


class Child:
    """One supervised process, the leader of its own process group."""

    def __init__(self, command: Command, folder: Path, *, is_quiet: bool = False) -> None:
        """Name the process; `folder` gets `log/<name>.log` and `run/<name>.json`."""
        self.command = command
        self.log = folder / "log" / f"{command.name}.log"
        self.record = folder / "run" / f"{command.name}.json"
        self.is_quiet = is_quiet
        self.process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._is_asked = False  # celery takes a second QUIT as an order to drop everything at once
        self._crashes = 0
        self._started = 0.0
        self._next_start = 0.0

    def start(self) -> None:
        self._rotate()
        # Its own session: Ctrl-C reaches only the supervisor, which then ends the children in order.
        self.process = subprocess.Popen(
            ended_with_us(self.command.argv, self.command.stop_signal),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started = time.monotonic()
        write_record(self.record, self.process.pid)
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._copy_output, args=[self.process.stdout], daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def keep_alive(self) -> str:
        """Restart the process when it has ended, later after each crash; a line when there is news."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._next_start:
                self.start()
            return ""
        if self.is_running:
            return ""
        status = self.process.returncode
        ended = f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        kill_group(self.process.pid)
        self._crashes = 1 if now - self._started > STEADY_S else self._crashes + 1
        pause = min(2.0 ** (self._crashes - 1), LONGEST_PAUSE_S)
        self.process, self._next_start = None, now + pause
        return f"{self.command.name} ended ({ended}); starting it again in {pause:.0f} s"

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_running and not self._is_asked:
            self.process.send_signal(self.command.stop_signal)
            self._is_asked = True

    def stop(self) -> None:
        """End the process and its group; safe to call at any time."""
        self.ask_to_stop()
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # what is left is killed next
                self.process.wait(self.command.patience_s)
            kill_group(self.process.pid)
            self.process.wait()
        if self._reader is not None:
            self._reader.join(5)
        self.process = self._reader = None
        self.record.unlink(missing_ok=True)

    def last_lines(self, count: int = 15) -> str:
        if self._reader is not None and not self.is_running:
            self._reader.join(2)
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def _rotate(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _copy_output(self, output: IO[bytes]) -> None:
        with output, open(self.log, "ab", buffering=0) as log:
            for line in output:
                log.write(line)
                if not self.is_quiet:
                    say(self.command.name, line.decode(errors="replace").rstrip())


def ended_with_us(argv: list[str], stop_signal: signal.Signals) -> list[str]:
    """The same command, to which Linux sends `stop_signal` when the supervisor itself is killed."""
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        return argv
    # One setpriv for all: giving up root clears the signal, so that has to come first, in the same one.
    rest = argv[1:] if argv[0] == "setpriv" else argv
    return ["setpriv", f"--pdeathsig={stop_signal.name.removeprefix('SIG')}", *rest]


def flags(options: Mapping[str, str]) -> list[str]:
    """Options of a command line."""
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def package_folder(package: str, *, service: str, setting: str) -> Path:
    """The folder of an installed package that holds a service's programs.

    Raises:
        ServiceError: it is not installed; `setting` names another service instead.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServiceError(f"the embedded {service} is not installed; run `make serve`, or set {setting}")
    return Path(spec.origin).parent


def say(name: str, line: str) -> None:
    """One prefixed line in one write, so that lines of several processes never mix."""
    with contextlib.suppress(OSError):  # the terminal may be gone; the log files go on
        sys.stdout.write(f"{name:<10}| {line}\n")
        sys.stdout.flush()


def kill_group(leader: int) -> None:
    """Kill what is left of a child's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def make_private(folder: Path, uid: int, gid: int) -> None:
    """Make a folder that only one account may enter.

    Raises:
        ServiceError: it belongs to somebody else, who could then listen in our place.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), uid):
        owner = folder.stat().st_uid
        raise ServiceError(
            f"{folder} belongs to account {owner}, not to {uid}; change its owner or remove it"
        )
    folder.chmod(0o700)
    if folder.stat().st_uid != uid:
        os.chown(folder, uid, gid)


def write_record(path: Path, pid: int) -> None:
    """Note a process so that a later supervisor can tell it from another one with its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return  # it ended at once; the caller sees that by its status
    path.write_text(json.dumps({"pid": pid, "created": created}))


def stop_leftovers(folder: Path, commands: list[Command]) -> list[str]:
    """End what a killed supervisor left behind, in the order given; the names of those found alive."""
    stopped = []
    for command in commands:
        path = folder / "run" / f"{command.name}.json"
        try:
            record = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except json.JSONDecodeError:
            path.unlink()  # the supervisor was killed while writing it, so before the process did any work
            continue
        if _end_recorded(record["pid"], record["created"], command):
            stopped.append(command.name)
        path.unlink()
    return stopped


def _end_recorded(pid: int, created: float, command: Command) -> bool:
    was_alive = False
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        leader = psutil.Process(pid)
        if abs(leader.create_time() - created) > 0.5:
            return False  # the number belongs to another program by now
        leader.send_signal(command.stop_signal)
        was_alive = True
        leader.wait(command.patience_s)
    # While any member of the group lives, the kernel gives its number to no other process.
    kill_group(pid)
    return was_alive
