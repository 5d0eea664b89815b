"""What a run's log and its end say."""

from __future__ import annotations

import re
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
#: What torchrun adds about processes that ended, of which only the first failure says something.
_REPORT = re.compile(
    r"^E\d{4} [^\n]*(failed \(exitcode: -?\d+\) local_rank: \d+).*?^Root Cause.*?^=+$",
    re.DOTALL | re.MULTILINE,
)
_FAILED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)$")


def log_tail(run: Run, lines: int = 24) -> list[str]:
    """The last lines of a run's log; of a progress bar only what it showed last."""
    storage, key = site_storage(), f"{run.folder}/{LOG}"
    try:
        size = storage.size(key)
        text = b"".join(storage.stream(key, max(0, size - TAIL_BYTES))).decode(errors="replace")
    except FileNotFoundError:
        return []
    text = _REPORT.sub(r"\1", text)
    shown = (line.rstrip().rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in shown if line][-lines:]


def why_it_ended(run: Run, returncode: int) -> str:
    folder = run_dir(run).path
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if shutil.disk_usage(existing).free < FULL_BYTES:
        return "No space left on the disk of the run folders; free some, then try again"
    if returncode < 0:
        return f"the command was ended by {_signal(returncode)}"
    last = log_tail(run, 100)
    if last and (failed := _FAILED.search(last[-1])):
        return _why_one_failed(last, int(failed[1]), int(failed[2]))
    return last[-1] if last else f"the command ended with {returncode}"


def _why_one_failed(log: list[str], exitcode: int, rank: int) -> str:
    """Of several processes that train together: the others end, too, and say what they saw of it."""
    if exitcode < 0:
        return f"process {rank} of the command was ended by {_signal(exitcode)}"
    own = f"[rank{rank}]: "
    said = [line.removeprefix(own) for line in log if line.startswith(("error: ", own))]
    return said[-1] if said else f"process {rank} of the command ended with {exitcode}"


def _signal(returncode: int) -> str:
    name = signal.Signals(-returncode).name
    return f"{name}, most often because memory ran out" if name == "SIGKILL" else name


def is_out_of_memory(error: str) -> bool:
    return any(sign in error for sign in OUT_OF_MEMORY)


def is_disk_full(error: str) -> bool:
    return any(sign in error for sign in DISK_FULL)
