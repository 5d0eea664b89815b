"""Real processes of one run, which meet over gloo; each begins with everything imported."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import socket

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState

#: Seconds after which a process hangs rather than is slow.
PATIENCE = 300


def together(number, work):
    """Do the work in processes that are forked from this one, since everything is imported here already."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork").Process
    processes = [fork(target=_one, args=(rank, number, port, work)) for rank in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * number


def _one(rank, number, port, work):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    values = (rank, rank, number, number, "127.0.0.1", port)
    os.environ |= {"OMP_NUM_THREADS": "1", **dict(zip(names, map(str, values), strict=True))}
    faulthandler.dump_traceback_later(PATIENCE, exit=True)  # says where it hangs, and ends with 1
    AcceleratorState._reset_state(reset_partial_state=True)
    work(rank)
    if torch.distributed.is_initialized():  # a whole run has left the group at its end
        PartialState().wait_for_everyone()
        PartialState().destroy_process_group()
