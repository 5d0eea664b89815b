"""Runs that are worked on in parts: how a request is cut, and the process that makes one part after another.

A module for each kind of run says how: `generator.resident`, `generator.prompts.parts` and
`rlhf.evaluation.parts`. As a command, `python -m MODULE`, it makes parts: each line of standard input names
the folder of one, and `done` on standard output answers it. Whatever fails ends the process, which says why
in its last line of standard error. It ends at once when its input closes, since then nobody watches it any
more.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from generator.rundir import RunDir, RunError

#: What no part could make, until the run's own command has read it: records of the run's kind.
UNMADE = "unmade.json"


@dataclass(frozen=True)
class Item:
    """One thing that a run makes.

    Attributes:
        name: that no other item of the run has.
        batch: equal for neighbours that are made together, since one alone would come out otherwise.
        files: in the run's folder; the item is finished once all of them are there.
        besides: files that are kept where there are any, finished or not.
    """

    name: str
    batch: object
    files: tuple[str, ...]
    besides: tuple[str, ...] = ()


class Parts(Protocol):
    """What a module that cuts runs offers; none of it loads a model."""

    def items(self, request: Mapping[str, Any], run: RunDir) -> Sequence[Item]:
        """All that a request asks for, in the order in which it is made.

        Raises:
            KeyError, ValueError, OSError: the request, or the set that it names, cannot be read.
        """

    def part(self, request: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
        """The request for these items alone: that of the folder that the process is given."""

    def loaded(self, part: Mapping[str, Any]) -> str:
        """What the process has loaded after a part; one of another text is made by another process."""

    def finished(self, line: Mapping[str, Any]) -> str | None:
        """The item that a metric line of a part's folder says is finished, if it does."""


def ends_of_batches(items: Sequence[Item]) -> list[int]:
    """Places after which a request may be cut, the last of which is its end."""
    following = [item.batch for item in items[1:]]
    inner = [place for place, batch in enumerate(following, start=1) if batch != items[place - 1].batch]
    return [*inner, len(items)] if items else []


def unmade_of(run: RunDir) -> list[dict[str, Any]]:
    """Records of what no part could make; whoever writes down the run's end then calls `forget_unmade`."""
    try:
        return list(json.loads((run.path / UNMADE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []


def forget_unmade(run: RunDir) -> None:
    """From now on, it is tried again by whoever works in the folder."""
    with contextlib.suppress(FileNotFoundError):
        (run.path / UNMADE).unlink()


def serve(make: Callable[[RunDir], None]) -> int:
    """Hand each folder to `make`, and say when it is done.

    Args:
        make: does what the folder asks for.

    Returns:
        Exit status, once something has failed.
    """
    # What libraries print belongs into the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for folder in _folders():
        try:
            make(RunDir(folder))
        except (RunError, ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        print("done", file=answers, flush=True)
    return 0


def _folders() -> Iterator[str]:
    """The lines of standard input. A thread reads them, since the input also closes while a part is made."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with os.fdopen(os.dup(0)) as file:
            for line in file:
                lines.put(line.rstrip("\n"))
        os._exit(143)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()
