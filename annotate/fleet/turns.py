"""Shards and whole runs, such as trainings, take turns with the devices of a machine.

Two models at once may not fit into its memory. Those who work on shards share the devices; a whole run waits
until the shards under way are done, has them alone, and meanwhile nobody begins another.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


class Turns:
    """One process's part in it. What a process holds is free when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Name the folder of the two locks, which all processes of the machine share."""
        self.folder = folder
        self._devices: IO[str] | None = None
        self._wanted: IO[str] | None = None

    def are_wanted(self) -> bool:
        """Whether a whole run has the devices, or waits for them."""
        file = self._lock("wanted", fcntl.LOCK_SH)
        if file is not None:
            file.close()
        return file is None

    def take_shared(self) -> bool:
        """Take the devices beside others who do; False where a whole run has them, or waits for them."""
        if self.are_wanted():
            self.leave()
            return False
        self._devices = self._devices or self._lock("devices", fcntl.LOCK_SH)
        return self._devices is not None

    def take_alone(self) -> bool:
        """Take the devices for a whole run; False while shards have them, which make way soon."""
        self._wanted = self._wanted or self._lock("wanted", fcntl.LOCK_EX)
        if self._wanted is not None:
            self._devices = self._devices or self._lock("devices", fcntl.LOCK_EX)
        return self._devices is not None

    def leave(self) -> None:
        for file in (self._devices, self._wanted):
            if file is not None:
                file.close()
        self._devices = self._wanted = None

    def _lock(self, name: str, how: int) -> IO[str] | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open(self.folder / f"{name}.lock", "a")  # noqa: SIM115 - held until its turn is over
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file
