"""One training run on one or several devices: `accelerate launch` starts one process a device.

Which of them this one is, and how they meet, is `accelerate.PartialState`; alone, a process is the main one
and waits for nobody. Creating the state first also makes "cuda" mean this process's own device. Without a GPU
the processes of `torchrun` or `accelerate launch` meet over gloo.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from generator.rundir import RunDir, end_with_parent

Job = TypeVar("Job")


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


def _part() -> None:
    """Leave together: a process that is gone while another still listens makes gloo abort that one."""
    if number() > 1:
        wait()
        _state().destroy_process_group()


def _state() -> PartialState:
    """Asked for the CPU where there is nothing else: accelerate would take each process for one alone."""
    return PartialState(cpu=not torch.cuda.is_available())
