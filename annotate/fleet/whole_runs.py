"""Work on a whole run: bring its folder down, start its command, bring up what it makes, report its end."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from uuid import uuid4

from annotate.fleet import commands, faults
from annotate.fleet.attempts import Attempt
from annotate.fleet.faults import Fault
from annotate.fleet.messages import ALIVE_EVERY_S, Kind, Report, RunMessage
from annotate.fleet.run_folders import WorkFolder, work_folder
from annotate.fleet.software import software_version
from annotate.fleet.turns import Turns
from annotate.storage.interface import AlteredError, Storage

logger = logging.getLogger(__name__)

#: How often the command, and whoever has the devices, is looked at.
POLL_S = 0.5


@dataclass(kw_only=True)
class RunWorker:
    """One process that has all devices of its machine while it works.

    Attributes:
        name: by which the site reaches it.
        device: as people are shown it.
        devices: over how many a run may be spread.
        storage: of the site.
        turns: by which workers on shards make way.
        folder: in which commands start.
        environment: of commands.
        report: hands a report to the site; False where the run is not this worker's any more.
        claim: of the attempt under way.
    """

    name: str
    device: str
    devices: int
    storage: Storage
    turns: Turns
    folder: Path
    environment: Mapping[str, str]
    report: Callable[[Report], bool]
    claim: str = ""
    #: Set by whoever wants it to stop: the run, or the process.
    is_stopped: Event = field(default_factory=Event)

    def work(self, message: RunMessage) -> Fault | None:
        """Do a run; what kept this worker from it, or None where it has ended, or is not this worker's."""
        self.is_stopped.clear()
        self.claim = str(uuid4())
        run = _Run(self, message)
        if not run.say(Kind.BEGUN):
            return None
        if message.software != software_version():
            fault: Fault | None = faults.wrong_software(self.name, software_version(), message.software)
        elif message.devices > self.devices:
            fault = faults.too_few_devices(self.name, self.devices, message.devices)
        else:
            fault = run.work()
        if fault is not None:
            logger.warning("%s: %s", message.folder, fault.line)
            run.say(Kind.BACK if fault.is_the_workers else Kind.FAILED, error=fault.line, lines=run.num_lines)
        return fault if fault and fault.is_the_workers else None

    def say_here(self) -> None:
        """Tell the site that this worker is there, and what it has."""
        self.report(Report(kind=Kind.HERE, worker=self.name, device=self.device, devices=self.devices))


class _Run(Attempt):
    """One attempt at a run."""

    def __init__(self, worker: RunWorker, message: RunMessage) -> None:
        super().__init__(worker, run=message.run, ticket=message.ticket)
        self.worker, self.message = worker, message
        #: Lines of metrics that are stored.
        self.num_lines = 0

    def work(self) -> Fault | None:
        try:
            with self._staying_alive():
                if not self._have_devices():
                    self.say(Kind.BACK)
                    return None
                with work_folder(self.worker.storage, self.message.folder) as folder:
                    return self._execute(folder)
        except AlteredError as error:
            return Fault(str(error), False)
        except OSError as error:
            return faults.no_storage(self.worker.name, error)
        finally:
            self.worker.turns.leave()

    def _have_devices(self) -> bool:
        """Wait until shards have made way; False where the worker is stopped meanwhile."""
        while not self.worker.turns.take_alone():
            self.keep_alive()
            if self.worker.is_stopped.wait(POLL_S):
                return False
        return not self.worker.is_stopped.is_set()

    def _execute(self, folder: WorkFolder) -> Fault | None:
        request = folder.read_request()
        # Of a model that is to be registered nobody has said that some machine has it.
        if request["stage"] != "register" and (fault := faults.no_model(self.worker.name, request)):
            return fault
        self.num_lines = folder.num_lines
        with open(folder.path / commands.LOG, "ab") as log:
            child = commands.start(
                self.message.command,
                folder.path,
                log,
                devices=self.message.devices,
                folder=self.worker.folder,
                environment=self.worker.environment,
            )
            try:
                self._follow(child, folder)
            finally:
                commands.end(child)
        if child.returncode and self.worker.is_stopped.is_set():
            folder.store_unless_overtaken()
            self.say(Kind.BACK, lines=folder.num_lines)
            return None
        folder.store(at_end=True)
        self.num_lines = folder.num_lines
        if child.returncode:
            why = commands.why_it_ended(folder.path, child.returncode)
            return faults.command_failed(self.worker.name, why)
        self.say(Kind.ENDED, lines=self.num_lines)
        return None

    def _follow(self, child: subprocess.Popen[bytes], folder: WorkFolder) -> None:
        """Bring up what is new and say so, until the command has ended, or is to stop."""
        while child.poll() is None and not self.worker.is_stopped.is_set():
            folder.store()
            if folder.num_lines != self.num_lines:
                self.num_lines = folder.num_lines
                self.say(Kind.ALIVE, lines=self.num_lines)
            self.keep_alive()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)

    @contextlib.contextmanager
    def _staying_alive(self) -> Iterator[None]:
        """Say it from another thread where this one cannot: a large checkpoint takes minutes to be stored."""
        is_over = Event()

        def keep_on() -> None:
            while not is_over.wait(ALIVE_EVERY_S):
                if time.monotonic() - self.said > 2 * ALIVE_EVERY_S:
                    self.say(Kind.ALIVE)

        thread = threading.Thread(target=keep_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
