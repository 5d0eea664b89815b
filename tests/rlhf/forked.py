"""Real processes of one run, which meet over gloo; each begins with everything imported."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import socket

import cloudpickle
import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState

#: Seconds after which a process hangs rather than is slow.
PATIENCE = 300
# A server of its own forks them, once it has imported everything. Tests before this one may have left
# threads, and a lock that one of them held while its process was forked is never freed in the copy.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["torch", "accelerate", "peft", "transformers", "trl", "rlhf.dpo.run", "rlhf.sft.run"]
)


def together(number, work, *, machines=1):
    """Do the work in so many processes, which know their rank; it may hold whatever can be pickled.

    They believe that they are on so many machines, equally many on each.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pickled = cloudpickle.dumps(work)
    processes = [
        _SERVER.Process(target=_one, args=(rank, number, machines, port, pickled)) for rank in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * number


def _one(rank, number, machines, port, pickled):
    here = number // machines
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    values = (rank, rank % here, number, here, "127.0.0.1", port)
    os.environ |= {"OMP_NUM_THREADS": "1", **dict(zip(names, map(str, values), strict=True))}
    faulthandler.dump_traceback_later(PATIENCE, exit=True)  # says where it hangs, and ends with 1
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    cloudpickle.loads(pickled)(rank)
    if torch.distributed.is_initialized():  # a whole run has left the group at its end
        PartialState().wait_for_everyone()
        PartialState().destroy_process_group()
