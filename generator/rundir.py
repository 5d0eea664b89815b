"""The seam between the web and the GPU: one folder a run.

    request.json    immutable, written by the web (or by a researcher) before the run
    metrics.jsonl   append-only, one JSON object a line, while it runs
    ...             artifacts
    result.json     written last, atomically: its existence means that the run is complete

A run that was killed is the same folder without `result.json`: starting the command again resumes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from generator.files import replacing

#: As long as a worker without its database keeps a command going (five minutes), and a minute for its end.
HELD_FOR_S = 360.0


#: Written last into a folder of a run, such as a checkpoint: without it, nobody uses the folder.
COMPLETE = "complete"


class RunError(Exception):
    """A run cannot go on; the message is one line that names the value and the remedy."""


class RunDir:
    """One run's folder.

    Args:
        path: the folder; it must hold `request.json` before anything is read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def is_done(self) -> bool:
        """Whether the run is complete."""
        return (self.path / "result.json").is_file()

    def create(self, request: Mapping[str, Any]) -> None:
        """Write `request.json` once; writing the same request again changes nothing.

        Raises:
            RunError: the folder holds another request.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / "request.json").is_file():
            if self.read_request() != json.loads(json.dumps(request)):
                raise RunError(f"{self.path} holds another request; use a new run folder")
            return
        self._write("request.json", request)

    def read_request(self) -> dict[str, Any]:
        """The run's request.

        Raises:
            RunError: there is no request, or it is not a JSON object.
        """
        return self._read("request.json", missing="is not a run folder: it has no request.json")

    def read_result(self) -> dict[str, Any]:
        """What the run ended with.

        Raises:
            RunError: the run has not ended yet.
        """
        return self._read("result.json", missing="has no result.json yet; run or resume it first")

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Mark the run complete; call it last."""
        self._write("result.json", result)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl` in one write, so that a reader never sees half a line."""
        data = (json.dumps(line, sort_keys=True, allow_nan=False) + "\n").encode()
        with open(self.path / "metrics.jsonl", "ab", buffering=0) as file:
            file.write(data)

    def read_metrics(self, start: int = 0) -> list[dict[str, Any]]:
        """The complete lines of `metrics.jsonl` from line `start` on; a torn last line waits."""
        try:
            data = (self.path / "metrics.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        return complete_lines(data, start)

    def truncate_metrics(self, keep: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the lines that a resumed run will write again, and a torn last line.

        Args:
            keep: whether a line stays.
        """
        lines = [line for line in self.read_metrics() if keep(line)]
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        self._replace("metrics.jsonl", text)

    def resolve(self, path: str) -> Path:
        """A path of `request.json`: relative ones start at the run folder."""
        return (self.path / path).resolve()

    def relative(self, path: Path | str) -> str:
        """The inverse of `resolve`, so that a storage folder may move as a whole."""
        return os.path.relpath(path, self.path)

    @contextlib.contextmanager
    def open(self, *, attached: bool = False) -> Iterator[dict[str, Any]]:
        """Hold the folder alone while the run works, and yield its request.

        Args:
            attached: end this process when its standard input closes. Whoever started it holds the
                other end, so a run never outlives the worker that watches it. A folder that is held is
                waited for: a worker that lost the run to this one ends its own command soon.

        Raises:
            RunError: no request, or another process is at work in this folder.
        """
        request = self.read_request()
        with open(self.path / "lock", "w") as lock:
            if attached:
                end_with_parent()
            deadline = time.monotonic() + (HELD_FOR_S if attached else 0)
            while not _take(lock):
                if time.monotonic() >= deadline:
                    raise RunError(f"another process is at work in {self.path}; wait for it or end it")
                time.sleep(0.2)
            yield request

    def _read(self, name: str, *, missing: str) -> dict[str, Any]:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path} {missing}") from None
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / name} is not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise RunError(f"{self.path / name} must hold a JSON object, not {type(value).__name__}")
        return value

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        """A line for each key: a request may be long, and where it indents, json writes slowly."""
        encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode
        lines = [f" {encode(key)}: {encode(value[key])}" for key in sorted(value)]
        self._replace(name, "{\n" + ",\n".join(lines) + "\n}\n")

    def _replace(self, name: str, text: str) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def complete_lines(data: bytes, start: int = 0) -> list[dict[str, Any]]:
    """The lines of metrics from line `start` on; a torn last one is none."""
    complete = data[: data.rfind(b"\n") + 1].splitlines()
    return [json.loads(line) for line in complete[start:]]


def run_command(main: Callable[[RunDir, bool], None], arguments: list[str]) -> int:
    """Shared shape of the `python -m ... RUNDIR [--attached]` commands.

    Args:
        main: does the work in a run folder; the flag says whether it is attached to a parent.
        arguments: the command line without the program's name.

    Returns:
        Exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage.
    """
    attached = "--attached" in arguments
    places = [argument for argument in arguments if argument != "--attached"]
    if len(places) != 1 or places[0].startswith("-"):
        print("usage: python -m <command> RUNDIR [--attached]", file=sys.stderr)
        return 2
    try:
        main(RunDir(places[0]), attached)
    except (RunError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end_with_parent() -> None:
    """End this process at once when its standard input closes; a half-made file is never renamed."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    """Read by number, not through `sys.stdin`, whose lock this thread would still hold when Python ends."""
    while os.read(0, 4096):
        pass
    os._exit(143)
