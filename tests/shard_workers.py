"""GPU workers in the process of a test, of which one may be killed: parts are made here, by no process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from annotate.fleet.messages import Kind, Report, ShardMessage
from annotate.fleet.software import software_version
from annotate.fleet.work import Worker
from annotate.storage.address import FolderAddress
from annotate.storage.folder import FolderStorage
from generator.rundir import RunDir


class _Killed(BaseException):
    """A worker that is there no more."""


class _Here:
    """Stands for a `Resident`."""

    ended = None

    def __init__(self, make: Callable[[RunDir], None]) -> None:
        self.make, self.is_done = make, False

    def begin(self, module: str, loaded: str, run: Path) -> None:
        self.make(RunDir(run))
        self.is_done = True

    def rest(self) -> None:
        """It stays as it is."""

    let_go = rest


def work(
    run: RunDir,
    parts: str,
    shards: Sequence[tuple[int, int]],
    maker: Callable[[], Callable[[RunDir], None]],
    *,
    killed_after: int = 0,
) -> list[Report]:
    """Two workers take shards in turns; the first one is killed, its shard goes to the second.

    Args:
        run: a folder, whose parent is the storage.
        parts: the module that cuts it.
        shards: their places.
        maker: gives what makes parts in one worker.
        killed_after: so many items.

    Returns:
        What the workers said at the ends of shards.
    """
    said: list[Report] = []
    names = iter(range(99))

    def worker(kill_after: int = 0) -> Worker:
        made = []

        def report(one: Report) -> bool:
            made.extend([one] if one.kind == Kind.MADE else [])
            if one.kind == Kind.MADE and len(made) == kill_after:
                raise _Killed
            said.extend([one] if one.made else [])
            return True

        name = f"worker-{next(names)}"
        resident: Any = _Here(maker())
        storage = FolderStorage(FolderAddress(run.path.parent))
        folder = run.path.parent / name
        return Worker(
            name=name, device="cpu", storage=storage, folder=folder, resident=resident, report=report
        )

    def message(start: int, stop: int) -> ShardMessage:
        place = {"folder": run.path.name, "start": start, "stop": stop, "parts": parts}
        return ShardMessage(shard=1, number=1, ticket="t", software=software_version(), **place)

    if killed_after:
        with contextlib.suppress(_Killed):
            worker(killed_after).work(message(*shards[0]))
    workers = [worker(), worker()]
    for number, places in enumerate(shards):
        assert workers[number % 2].work(message(*places)) is None
    return said
