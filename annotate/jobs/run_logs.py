"""What a run's log and its end say."""

from __future__ import annotations

from annotate.fleet.commands import LOG, TAIL_BYTES, last_lines
from annotate.models import Run
from annotate.storage.opening import site_storage

#: What an end for want of memory says: of a GPU (torch), or of the machine (the kernel kills without a word).
OUT_OF_MEMORY = ("OutOfMemoryError", "out of memory", "not enough memory", "SIGKILL")
#: What an end for want of disk says; the last is what `torch.save` says of a file that took only a part.
DISK_FULL = ("No space left on", "File too large", "Disk quota exceeded", "unexpected pos")


def log_tail(run: Run, lines: int = 24) -> list[str]:
    """The last lines of a run's log."""
    storage, key = site_storage(), f"{run.folder}/{LOG}"
    try:
        size = storage.size(key)
        return last_lines(b"".join(storage.stream(key, max(0, size - TAIL_BYTES))), lines)
    except FileNotFoundError:
        return []


def is_out_of_memory(error: str) -> bool:
    return any(sign in error for sign in OUT_OF_MEMORY)


def is_disk_full(error: str) -> bool:
    return any(sign in error for sign in DISK_FULL)
