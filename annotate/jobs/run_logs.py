"""What a run's log and its end say."""

from __future__ import annotations

import shutil
import signal

from annotate.jobs.runs import run_dir
from annotate.models import Run
from annotate.storage.opening import site_storage

LOG = "log.txt"
#: As much of a log as is read: its end.
TAIL_BYTES = 32_768
#: With less room than this nothing can be written any more, not even why.
FULL_BYTES = 1_000_000
#: What an end for want of memory says: of a GPU (torch), or of the machine (the kernel kills without a word).
OUT_OF_MEMORY = ("OutOfMemoryError", "out of memory", "not enough memory", "SIGKILL")
#: What an end for want of disk says; the last is what `torch.save` says of a file that took only a part.
DISK_FULL = ("No space left on", "File too large", "Disk quota exceeded", "unexpected pos")


def log_tail(run: Run, lines: int = 24) -> list[str]:
    """The last lines of a run's log; of a progress bar only what it showed last."""
    storage, key = site_storage(), f"{run.folder}/{LOG}"
    try:
        size = storage.size(key)
        text = b"".join(storage.stream(key, max(0, size - TAIL_BYTES))).decode(errors="replace")
    except FileNotFoundError:
        return []
    shown = (line.rstrip().rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in shown if line][-lines:]


def why_it_ended(run: Run, returncode: int) -> str:
    folder = run_dir(run).path
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if shutil.disk_usage(existing).free < FULL_BYTES:
        return "No space left on the disk of the run folders; free some, then try again"
    if returncode < 0:
        name = signal.Signals(-returncode).name
        hint = ", most often because memory ran out" if name == "SIGKILL" else ""
        return f"the command was ended by {name}{hint}"
    last = log_tail(run, 1)
    return last[0] if last else f"the command ended with {returncode}"


def is_out_of_memory(error: str) -> bool:
    return any(sign in error for sign in OUT_OF_MEMORY)


def is_disk_full(error: str) -> bool:
    return any(sign in error for sign in DISK_FULL)
