"""One training run on one or several devices: `accelerate launch` starts one process a device.

Which of them this one is, and how they meet, is `accelerate.PartialState`; alone, a process is the main one
and waits for nobody. Creating the state first also makes "cuda" mean this process's own device. Without a GPU
the processes of `torchrun` or `accelerate launch` meet over gloo.

They may be on several machines, each with a copy of the run's folder and of what its request names. The
machine of the main process has the run: it alone writes metrics, checkpoints and the result. What the others
need of that to go on is handed to them, and the clips that they make are brought to it. Machines that share
one folder find everything there already.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from generator.files import file_sha256, replacing
from generator.rundir import RunDir, RunError, end_with_parent

Job = TypeVar("Job")

#: So much of a file is sent to other machines at once.
CHUNK_BYTES = 1 << 26


@contextlib.contextmanager
def hold(run: RunDir, *, attached: bool) -> Iterator[dict[str, Any]]:
    """Open a run folder for all processes of this run and yield its request; the main one holds the lock.

    Args:
        run: the folder.
        attached: end each process when its standard input closes, which all have from their launcher: who is
            killed, the launcher or whoever started it, leaves none behind.

    Raises:
        RunError: no request, or another run is at work in this folder.
    """
    if is_main():
        with run.open(attached=attached) as request:
            yield request
    else:
        if attached:
            end_with_parent()
        yield run.read_request()
    _part()


def is_main() -> bool:
    """Whether this process writes what is written once."""
    return bool(_state().is_main_process)


def number() -> int:
    """How many processes train together."""
    return int(_state().num_processes)


def share() -> slice:
    """The part of a sequence that this process does, such as `jobs[share()]`."""
    state = _state()
    return slice(state.process_index, None, state.num_processes)


def turns(jobs: Sequence[Job], *, in_step: bool) -> list[tuple[Job, bool]]:
    """This process's part of the jobs, and of each whether it counts.

    Args:
        jobs: equally many in every process.
        in_step: give every process equally many: one that has fewer does the last job again, for nothing.
    """
    mine = [(job, True) for job in jobs[share()]]
    if in_step and len(mine) * number() < len(jobs):
        mine.append((jobs[-1], False))
    return mine


def share_here() -> slice:
    """The part that this process does of what each machine does for itself."""
    here = _here()
    return slice(here.index(place()), None, len(here))


def place() -> int:
    """Which of the processes this one is, from 0, the main one."""
    return int(_state().process_index)


def machines() -> int:
    """On how many machines they are."""
    return len(set(_machine_of_each()))


def is_first_here() -> bool:
    """Whether this process writes what is written once on each machine."""
    return _here()[0] == place()


def _here() -> list[int]:
    """The processes of this machine."""
    each = _machine_of_each()
    return [number for number, machine in enumerate(each) if machine == each[place()]]


@functools.cache
def _machine_of_each() -> list[int]:
    """The machine of each process: launchers count the processes of each anew."""
    firsts = [index == 0 for index in all_of_us([_state().local_process_index])]
    return list(itertools.accumulate(firsts))


def wait() -> None:
    """Wait until every process is here."""
    _state().wait_for_everyone()


def any_of_us(flag: bool) -> bool:
    """Whether the flag is set in any process; all must ask at the same place."""
    return flag if number() == 1 else any(gather_object([flag]))


def all_of_us(items: list[Any]) -> list[Any]:
    """The items of all processes, one after the other; all must ask at the same place."""
    return items if number() == 1 else gather_object(items)


def of_main(item: Any) -> Any:
    """The main process's item; all must ask at the same place."""
    if number() == 1:
        return item
    items = [item]
    broadcast_object_list(items)
    return items[0]


def most(count: int) -> int:
    """The largest of all processes' counts; all must ask at the same place."""
    return max(all_of_us([count]))


def expect_alike(what: str, value: Any) -> None:
    """All processes must have the same here, and ask at the same place.

    Raises:
        RunError: this process has something else than the main one.
    """
    mine = hashlib.sha256(repr(value).encode()).hexdigest()
    if of_main(mine) != mine:
        raise RunError(
            f"{what}: process {place()} has others than the first one; "
            "bring the same run folder, data, weights and versions of the software to each machine"
        )


def hand_out(folder: Path, names: Sequence[str]) -> None:
    """Give every machine these files of the main one's folder, where it lacks them or has others.

    Args:
        folder: on each machine; made when missing.
        names: of files in it, as the main process knows them.
    """
    if machines() == 1:
        return
    known = {name: file_sha256(folder / name) for name in names} if is_main() else {}
    for name, sha256 in of_main(known).items():
        path = folder / name
        lacks = is_first_here() and not (path.is_file() and file_sha256(path) == sha256)
        if any_of_us(lacks):
            _receive(path, lacks=lacks)
    wait()


def _receive(path: Path, *, lacks: bool) -> None:
    """A file of the main process, written where it is lacking; everybody listens."""
    parts = _parts_of_main(path)
    if not lacks:
        collections.deque(parts, maxlen=0)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, open(partial, "wb") as file:
        file.writelines(parts)


def _parts_of_main(path: Path) -> Iterator[bytes]:
    with open(path, "rb") if is_main() else contextlib.nullcontext() as source:
        while part := of_main(source.read(CHUNK_BYTES) if source else b""):
            yield part


def bring_together(folder: Path, pattern: str) -> None:
    """Give the main machine the small files of this pattern that others have made in their folder."""
    if machines() == 1:
        return
    offers = is_first_here() and not is_main()
    made = {path.name: path.read_bytes() for path in folder.glob(pattern)} if offers else {}
    for files in all_of_us([made]):
        for name, content in files.items() if is_main() else ():
            if not (folder / name).exists():
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(folder / name) as partial:
                    partial.write_bytes(content)
    wait()


def _part() -> None:
    """Leave together: a process that is gone while another still listens makes gloo abort that one."""
    if number() > 1:
        wait()
        _state().destroy_process_group()


def _state() -> PartialState:
    """Asked for the CPU where there is nothing else: accelerate would take each process for one alone."""
    return PartialState(cpu=not torch.cuda.is_available())
