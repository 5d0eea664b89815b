"""Frozen weights shared out over the devices, for a base that does not fit one: FSDP2 beside data parallel.

Each process keeps a part of every frozen weight. A block's weights are gathered from all processes when a
pass comes to it, and dropped after it. What is trained stays whole in every process, and its gradients are
averaged as ever: so checkpoints, averages, optimizer and result are those of a run that shares nothing.

Gathering takes all processes at once. They must do equally many passes, also where they have unequal work:
see `rlhf.training.learner.Learner.groups` and `rlhf.training.processes.turns`.

The launcher's own `--use_fsdp` is refused: it would shard the adapter, too, so that checkpoints, averages and
results would take another form, and it does not run on a CPU, where all of this is tested.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from generator.rundir import RunError
from rlhf.training import processes
from rlhf.training.config import RunConfig


def expect_processes(config: RunConfig) -> None:
    """Refuse other processes than the settings ask for, before anything costly begins.

    Raises:
        RunError: there are not as many as `devices`, where that is set; or `sharded` is on, and this is the
            only one.
    """
    if config.devices not in (1, processes.number()):
        raise RunError(
            f"devices is {config.devices}, but the number of processes is {processes.number()}; "
            f"start torchrun --nproc-per-node {config.devices}"
        )
    if config.sharded and processes.number() == 1:
        raise RunError(
            "sharded is on, but the number of processes is 1; "
            "start several, such as torchrun --nproc-per-node 2, or switch it off"
        )


def shard(model: Any) -> None:
    """Share out what is frozen in a model's transformer; all processes must do so at the same place.

    Args:
        model: `transformer` is where the weights are, whole and equal in every process. They may lie in main
            memory: each block moves to this process's device just before it is cut, so that a device never
            holds more than its part and one block.
    """
    transformer: nn.Module = model.transformer
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (processes.number(),))
    trained = {weight for weight in transformer.parameters() if weight.requires_grad}
    for part in [*getattr(transformer, "blocks", ()), transformer]:
        fully_shard(part, mesh=mesh, ignored_params=trained, reshard_after_forward=True)
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    # A part is no copy: data parallel, which makes all processes' copies equal, must leave it alone.
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
    # The prediction is a view of the target's tokens; nobody writes into it.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")


def is_sharded(transformer: nn.Module) -> bool:
    """Whether its frozen weights are shared out, so that processes must pass in step."""
    return isinstance(transformer, FSDPModule)
