"""What the site hears of one attempt at a piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any, Protocol

from annotate.fleet.messages import ALIVE_EVERY_S, Kind, Report
from annotate.fleet.software import software_version


class Reporter(Protocol):
    """Whoever works: see `work.Worker` and `whole_runs.RunWorker`."""

    name: str
    device: str
    claim: str
    is_stopped: Event

    @property
    def report(self) -> Callable[[Report], bool]:
        """Hands a report to the site; False where the work is not this worker's any more."""


class Attempt:
    """One worker's attempt; `work` names the shard or the run, and the message that asked for it."""

    def __init__(self, worker: Reporter, **work: Any) -> None:
        self.reporter = worker
        self.said = 0.0
        self.header = Report(
            kind=Kind.ALIVE,
            worker=worker.name,
            claim=worker.claim,
            device=worker.device,
            software=software_version(),
            **work,
        )

    def say(self, kind: Kind, **values: Any) -> bool:
        """Report; what is not this worker's any more is stopped."""
        self.said = time.monotonic()
        may_go_on = self.reporter.report(replace(self.header, kind=kind, **values))
        if not may_go_on:
            self.reporter.is_stopped.set()
        return may_go_on

    def keep_alive(self) -> None:
        if time.monotonic() - self.said > ALIVE_EVERY_S:
            self.say(Kind.ALIVE)
