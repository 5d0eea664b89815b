"""Files of a bucket that were read on this machine, by their hash, up to a size; the least used go first.

Any number of processes share the folder. Who reads gets a second name (a hard link) of the file, so that it
can be evicted meanwhile: its bytes go with the last name. A file that no longer has the bytes of its name is
thrown away, and fetched again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from generator.files import file_sha256

#: What a killed process left behind goes after this time: nobody reads one file for so long.
LEFT_BEHIND_S = 86_400
#: What nobody has used for so long goes, too: it may be of somebody who was erased meanwhile.
UNUSED_NS = 7 * 86_400 * 10**9


class LocalCache:
    """A folder of files that are named by their sha256."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def making_room(self) -> Path:
        """The folder of what is under way, on the same disk."""
        place = self.folder / "under-way"
        place.mkdir(mode=0o750, parents=True, exist_ok=True)
        return place

    def take(self, sha256: str, target: Path) -> bool:
        """Give a file with this hash the further name `target`; False where there is none that is whole."""
        place = self._place(sha256)
        try:
            os.link(place, target)
        except FileNotFoundError:
            return False
        if file_sha256(target) != sha256:
            target.unlink()
            place.unlink(missing_ok=True)
            return False
        self._note_use(place)
        return True

    def keep(self, sha256: str, source: Path) -> None:
        """Keep a file, which must have this hash and is not to be written any more, and make room for it."""
        place = self._place(sha256)
        place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        source.chmod(0o440)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(source, place)
        self._note_use(place)
        self._evict()

    def _note_use(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # evicted since, which does not matter
            os.utime(place)

    def _place(self, sha256: str) -> Path:
        return self.folder / "files" / sha256[:2] / sha256

    def _evict(self) -> None:
        """Remove what was not used for long, until the rest is within the limit; one process at a time."""
        with self._alone() as is_alone:
            if not is_alone:
                return  # the other one counts this file, too, or the next one does
            found = []
            for place in (self.folder / "files").glob("*/*"):
                with contextlib.suppress(FileNotFoundError):
                    facts = place.stat()
                    found.append((facts.st_mtime_ns, facts.st_size, place))
            total, oldest = sum(size for _, size, _ in found), time.time_ns() - UNUSED_NS
            for used, size, place in sorted(found):
                if total <= self.max_bytes and used > oldest:
                    break
                place.unlink(missing_ok=True)
                total -= size
            clear_left_behind(self.making_room().iterdir())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        with open(self.folder / "lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def clear_left_behind(folders: Iterable[Path]) -> None:
    """Remove those of these folders that a killed process must have left behind."""
    for place in folders:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - place.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(place, ignore_errors=True)
