"""Hashes of what a computed value depends on, so that nothing stale is ever used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from generator.frozen_set import encode_line
from rlhf.training.lora import ADAPTER, lora_layers

#: Another release may compute other bits.
LIBRARIES = ("torch", "diffusers", "transformers", "peft")


def digest(facts: Mapping[str, Any]) -> str:
    """Sha256 (hex) of facts that JSON can hold, and of the versions of the libraries that compute."""
    versions = {name: version(name) for name in LIBRARIES}
    return hashlib.sha256(encode_line({**facts, "versions": versions})).hexdigest()


def frozen_sha256(model: nn.Module) -> str:
    """Sha256 (hex) of everything in a model that is not trained: names, types, bytes, scales of adapters.

    Some seconds for ten gigabytes.
    """
    content = hashlib.sha256()
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        if not tensor.requires_grad:
            content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().reshape(-1).contiguous().cpu()
            content.update(flat.view(torch.uint8).numpy().data)
    for layer in lora_layers(model):
        scales = {name: scale for name, scale in layer.scaling.items() if name != ADAPTER}
        content.update(f"{sorted(scales.items())} {layer.active_adapters}\n".encode())
    return content.hexdigest()
