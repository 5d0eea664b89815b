"""Work on one shard: stage it, have its items made, bring each up and report it."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from uuid import uuid4

from annotate.fleet import faults
from annotate.fleet.attempts import Attempt
from annotate.fleet.faults import Fault
from annotate.fleet.messages import Kind, Report, ShardMessage
from annotate.fleet.resident import Resident
from annotate.fleet.software import software_version
from annotate.fleet.staging import StagedShard
from annotate.storage.interface import Storage
from generator.rundir import RunError

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

#: How often the process that makes them is looked at.
POLL_S = 0.2
#: How long a storage that fails is tried, and how often.
PATIENCE_S, RETRY_S = 300.0, 5.0


@dataclass(kw_only=True)
class Worker:
    """One process on one device.

    Attributes:
        name: by which the site reaches it.
        device: as people are shown it.
        storage: of the site.
        folder: of its own, which it empties.
        resident: makes the items of shards.
        report: hands a report to the site; False where the shard is not this worker's any more.
        claim: tells this process from an earlier one of its name.
    """

    name: str
    device: str
    storage: Storage
    folder: Path
    resident: Resident
    report: Callable[[Report], bool]
    claim: str = field(default_factory=lambda: str(uuid4()))
    #: Set by whoever wants it to stop: the shard, or the process.
    is_stopped: Event = field(default_factory=Event)

    def hello(self) -> None:
        self.report(Report(kind=Kind.HELLO, worker=self.name, claim=self.claim))

    def decline(self, message: ShardMessage) -> None:
        """Hand a shard back at once, because something else has the devices."""
        fault = faults.busy_device(self.name)
        shard = _Shard(self, message)
        shard.say(Kind.BEGUN)
        shard.say(Kind.BACK, error=fault.line)
        self.resident.let_go()

    def work(self, message: ShardMessage) -> Fault | None:
        """Do a shard; what kept the worker from it, or None where it is done, or not this worker's."""
        self.is_stopped.clear()
        shard = _Shard(self, message)
        if not shard.say(Kind.BEGUN):
            return None
        if message.software != software_version():
            fault: Fault | None = faults.wrong_software(self.name, software_version(), message.software)
        else:
            fault = shard.work()
        if fault is not None:
            logger.warning("%s shard %s: %s", message.folder, message.number, fault.line)
            self.resident.let_go()
            shard.end(Kind.BACK if fault.is_the_workers else Kind.FAILED, error=fault.line)
        return fault


class _Shard(Attempt):
    """One attempt at a shard."""

    def __init__(self, worker: Worker, message: ShardMessage) -> None:
        super().__init__(worker, shard=message.shard, ticket=message.ticket)
        self.worker, self.message = worker, message
        self.finished: dict[str, None] = {}
        #: Seconds of each item that was made.
        self.spent: list[float] = []

    def end(self, kind: Kind, **values: Any) -> None:
        """Say that this attempt is over, what there is, and how long one of it took."""
        seconds = sum(self.spent) / len(self.spent) if self.spent else 0.0
        self.say(kind, made=[*self.finished], done=len(self.finished), seconds=seconds, **values)

    def work(self) -> Fault | None:
        fault = None
        try:
            staged = self._patiently(self._stage)
            if staged is not None and staged.items:
                fault = self._make(staged)
            if fault is None and staged is not None and not self.worker.is_stopped.is_set():
                self._end(staged)
            elif fault is None:
                self.worker.resident.let_go()
                self.end(Kind.BACK)
        except OSError as error:
            fault = faults.no_storage(self.worker.name, error)
        except (RunError, ValueError, KeyError) as error:
            fault = faults.no_request(self.worker.name, error)
        finally:
            shutil.rmtree(self.worker.folder, ignore_errors=True)
        return fault

    def _stage(self) -> StagedShard:
        staged = StagedShard(self.worker.storage, self.worker.folder, self.message)
        self.finished = staged.finished
        staged.bring_down()
        return staged

    def _make(self, staged: StagedShard) -> Fault | None:
        """Have what is missing made, and bring up each item as soon as it is there."""
        resident = self.worker.resident
        if fault := faults.no_model(self.worker.name, staged.request):
            return fault
        resident.begin(self.message.parts, staged.loaded, staged.folder.path)
        for line in self._lines(staged):
            name = staged.parts.finished(line)
            if name is None:
                continue
            if not self._patiently(lambda: staged.bring_up(name)):  # noqa: B023 - called at once
                break
            self.spent.append(line["seconds"])
            self.say(Kind.MADE, item=name, seconds=line["seconds"], done=len(staged.finished))
        returncode = resident.ended
        if returncode is not None and not staged.folder.is_done and not self.worker.is_stopped.is_set():
            return faults.ended(self.worker.name, returncode, resident.why_it_ended())
        resident.rest()
        return None

    def _lines(self, staged: StagedShard) -> Iterator[dict[str, Any]]:
        """What the process says of finished videos, until it is done, has ended, or is to stop."""
        resident, read = self.worker.resident, 0
        while not self.worker.is_stopped.is_set():
            is_over = resident.is_done or resident.ended is not None
            for line in staged.folder.read_metrics(read):
                read += 1
                yield line
            if is_over:
                return
            self.keep_alive()
            self.worker.is_stopped.wait(POLL_S)

    def _end(self, staged: StagedShard) -> None:
        result = staged.folder.read_result() if staged.folder.is_done else {}
        if not self._patiently(staged.bring_up_rest):
            return self.end(Kind.BACK)
        facts = {name: result[name] for name in ("precision",) if name in result}
        self.end(Kind.ENDED, failed=result.get("failed", []), facts=facts)

    def _patiently(self, work: Callable[[], Answer]) -> Answer | None:
        """Do something with the storage, again and again while it fails; None when the worker is stopped."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.worker.is_stopped.is_set():
            try:
                return work()
            except FileNotFoundError:
                raise
            except OSError as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("the storage fails, trying again in %.0f s: %s", RETRY_S, error)
            self.keep_alive()
            self.worker.is_stopped.wait(RETRY_S)
        return None
