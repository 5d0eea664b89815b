"""How a training run computes: bfloat16 around float32 masters, attention, compiled blocks, checkpointing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from generator.model.kernels import choose_attention, compile_blocks
from generator.model.precision import PRECISION_FILE, Precision, settle_precision
from generator.rundir import RunDir
from rlhf.training import processes
from rlhf.training.config import RunConfig

Config = TypeVar("Config", bound=RunConfig)


def to_bfloat16(transformer: nn.Module) -> None:
    """Round the frozen weights, but for those that upstream keeps in float32 and for adapters.

    No autocast is needed beside them: adapters compute in the type of what they are given
    (`rlhf.training.lora.MasterLinear`), and the embedding of time stays float32, which autocast would round.
    """
    kept = {*getattr(transformer, "_keep_in_fp32_modules", ()), "lora_A", "lora_B"}
    for name, parameter in transformer.named_parameters():
        if not kept.intersection(name.split(".")):
            parameter.data = parameter.data.to(torch.bfloat16)


def settle(run: RunDir, config: Config) -> tuple[Config, Precision]:
    """Choose what the settings leave to the device, once for the whole run, and say so in its log.

    Args:
        run: its folder remembers the choice.
        config: as requested.

    Returns:
        The settings with `bf16` and, where another one than Diffusers' own is faster, `attention`; and why.

    Raises:
        ValueError: the run began in other numbers than are asked for now.
    """
    if processes.is_main():
        settle_precision(run.path, config.bf16)
    processes.hand_out(run.path, [PRECISION_FILE])
    precision = settle_precision(run.path, config.bf16)
    if processes.is_main():
        print(f"{run.path.name} {precision}", flush=True)
    attention = config.attention or precision.attention
    return replace(config, bf16=precision.bf16, attention=attention), precision


def set_up(transformer: Any, config: RunConfig) -> None:
    """Attention, checkpointing and compilation as the run wants them; adapters must be there already.

    Raises:
        ValueError: an attention that is unknown or cannot train.
    """
    if config.attention:
        choose_attention(transformer, config.attention, training=True)
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing(checkpointing(config.kept_activations))
    if config.compiled:
        compile_blocks(transformer)


def checkpointing(kept: str) -> Callable[..., Any]:
    """A checkpointing function that recomputes all of a block, or all but its dearest products.

    Args:
        kept: see `RunConfig.kept_activations`.
    """
    arguments: dict[str, Any] = {"use_reentrant": False}
    if kept != "none":
        keep = functools.partial(_policy, with_products=kept == "products")
        arguments["context_fn"] = functools.partial(create_selective_checkpoint_contexts, keep)
    return functools.partial(checkpoint, **arguments)


def _policy(context: Any, operator: Any, *args: Any, with_products: bool, **_: Any) -> CheckpointPolicy:
    name = str(operator)
    keeps = "scaled_dot_product" in name or "flash_attn" in name
    if with_products and name in ("aten.mm.default", "aten.addmm.default"):
        rows, columns = args[-1].shape
        keeps = columns <= rows  # not the widening half of the feed-forward: the largest activation of all
    return CheckpointPolicy.MUST_SAVE if keeps else CheckpointPolicy.PREFER_RECOMPUTE
