"""The trainable LoRA of a training run, on top of frozen earlier ones.

DPO's policy and frozen policy are the same module: the frozen one is the same forward with the new adapter's
scale at 0. So both run the same kernels, and with the adapter's B at 0 they agree bit for bit. Scales are
toggled instead of peft's `enable_adapters` or `set_adapter`, since those make the frozen adapters trainable
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from generator.adapter_files import ADAPTER_FILE
from generator.files import file_sha256

#: Name of the adapter that is being trained, while it is.
ADAPTER = "trained"


def add_adapter(
    model: nn.Module, *, rank: int, alpha: int, targets: tuple[str, ...], seed: int
) -> LoraConfig:
    """Freeze everything in the model and add one trainable LoRA, active together with those already there.

    Args:
        model: the transformer, with or without adapters.
        rank: of the LoRA.
        alpha: its output is scaled by alpha / rank.
        targets: endings of the names of the linear layers to adapt.
        seed: of A's random weights; B starts at 0, so the model's output does not change.

    Returns:
        The adapter's configuration, which must be saved with its weights.

    Raises:
        ValueError: the model has an adapter of this name, or none of its layers is a target.
    """
    earlier = list(getattr(model, "peft_config", {}))
    if ADAPTER in earlier:
        raise ValueError(f"the model has an adapter {ADAPTER!r} already; load earlier ones under other names")
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), init_lora_weights=True)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)
        # peft warns that there are other adapters already; here they are meant to be there.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for layer in lora_layers(model):
        layer.set_adapter([*earlier, ADAPTER])
        _compute_in_input_type(layer)
    for name, parameter in model.named_parameters():
        trains = f".{ADAPTER}." in name
        parameter.requires_grad_(trains)
        if trains:
            parameter.data = parameter.data.float()
    return config


class MasterLinear(nn.Linear):
    """Half of an adapter: its weights keep their type, and are cast to that of what they are given.

    peft does the reverse. With float32 weights in a bfloat16 model it would widen every activation, keep it
    for the backward pass and multiply in float32.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Multiply in the type of the input; without a bias."""
        return F.linear(input, self.weight.to(input.dtype))


def _compute_in_input_type(layer: LoraLayer) -> None:
    layer.cast_input_dtype_enabled = False
    for halves in (layer.lora_A, layer.lora_B):
        for name, linear in halves.items():
            master = MasterLinear(1, 1, bias=False, device="meta")
            master.in_features, master.out_features = linear.in_features, linear.out_features
            master.weight = linear.weight
            halves[name] = master


def lora_layers(model: nn.Module) -> Iterator[LoraLayer]:
    """Every adapted layer of the model."""
    return (module for module in model.modules() if isinstance(module, LoraLayer))


@contextlib.contextmanager
def frozen_policy(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the frozen policy: the new adapter's scale is 0, and no gradient is kept."""
    layers = [layer for layer in lora_layers(model) if ADAPTER in layer.scaling]
    scales = [layer.scaling[ADAPTER] for layer in layers]
    for layer in layers:
        layer.scaling[ADAPTER] = 0.0
    try:
        with torch.no_grad():
            yield
    finally:
        for layer, scale in zip(layers, scales, strict=True):
            layer.scaling[ADAPTER] = scale


def save_adapter(
    folder: Path, transformer: nn.Module, lora: LoraConfig, save: Callable[..., None]
) -> dict[str, str]:
    """Write the new adapter as Diffusers reads it, under its final name only when it is whole.

    Args:
        folder: gets `ADAPTER_FILE`; made when missing.
        transformer: with the adapter.
        lora: what `add_adapter` returned.
        save: the pipeline's `save_lora_weights`.

    Returns:
        What a run's result says of it.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    save(
        partial,
        transformer_lora_layers=diffusers_layers(transformer),
        transformer_lora_adapter_metadata=metadata(lora),
    )
    sort_header(partial / ADAPTER_FILE)
    folder.mkdir(exist_ok=True)
    os.replace(partial / ADAPTER_FILE, folder / ADAPTER_FILE)
    partial.rmdir()
    return {"adapter": folder.name, "adapter_sha256": file_sha256(folder / ADAPTER_FILE)}


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters by name, detached."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def save_trainable(model: nn.Module, path: Path) -> None:
    """Write the trainable parameters exactly as they are."""
    save_file({name: value.contiguous().cpu() for name, value in trainable_state(model).items()}, path)


def load_trainable(model: nn.Module, path: Path) -> None:
    """Restore what `save_trainable` wrote, of a run that trains the same parameters."""
    saved, current = load_file(path), trainable_state(model)
    if saved.keys() != current.keys():
        raise ValueError(f"{path} holds other parameters than this run trains; use a new run folder")
    for name, value in current.items():
        value.copy_(saved[name])


def diffusers_layers(model: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights under the names of `save_lora_weights`, such as `<layer>.lora_A.weight`."""
    infix = f".{ADAPTER}.weight"
    return {name.replace(infix, ".weight"): value for name, value in trainable_state(model).items()}


def sort_header(path: Path) -> None:
    """Rewrite a safetensors file with its header in sorted order: equal adapters then are equal bytes.

    The library writes the header's metadata in an order that differs from call to call.
    """
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format wants the data aligned
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


def metadata(config: LoraConfig) -> dict[str, Any]:
    """The configuration as `save_lora_weights` stores it; without it, loaders take alpha = rank."""
    values: dict[str, Any] = config.to_dict()
    values["target_modules"] = sorted(values["target_modules"])
    return values
