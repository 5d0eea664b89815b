"""Tensors that are computed once: one safetensors file each, complete or absent, and all numbers finite.

What a computed value depends on is hashed, so that nothing stale is ever used.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from generator.faults import NotFiniteError
from generator.files import replacing
from generator.frozen_set import encode_line
from generator.rundir import RunError
from rlhf.training import processes
from rlhf.training.lora import ADAPTER, lora_layers

logger = logging.getLogger(__name__)

#: Another release may compute other bits.
LIBRARIES = ("torch", "diffusers", "transformers", "peft")
#: Computes the tensors of one file.
Encode = Callable[[], Mapping[str, Tensor]]


class CacheError(RunError):
    """A file of the cache cannot be used; the message names file and tensor."""


def fill(
    folder: Path,
    jobs: Sequence[tuple[Path, Encode]],
    *,
    on_file: Callable[[int], None] = lambda done: None,
) -> None:
    """Write every file that is missing or not usable, each process its share, and wait for the others.

    Each machine has its own folder, and fills it itself.

    Files that are there are read once. So what a broken disk or a run in another precision left is found
    before the first step, and made anew.

    Args:
        folder: made when missing.
        jobs: each file of the folder, and what computes it; called only when it is missing. Its name says
            what it is computed from.
        on_file: called with the number of this process's files that are ready.

    Raises:
        CacheError: what was computed is not finite.
        RunError: machines that train together have other data, weights or libraries.
    """
    processes.expect_alike("data, weights or libraries", [path.name for path, _ in jobs])
    folder.mkdir(parents=True, exist_ok=True)
    for done, (path, encode) in enumerate(jobs[processes.share_here()], start=1):
        if not _is_usable(path):
            _write(path, encode)
        on_file(done)
    processes.wait()


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a file of the cache.

    Args:
        path: the file.
        names: of the tensors; None reads all. The others stay on the disk.

    Raises:
        CacheError: not readable, or not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            wanted = file.keys() if names is None else names
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise CacheError(
            f"{path} cannot be read ({error}); delete it, and the next start makes it anew"
        ) from None
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise CacheError(
                f"{path}: {name} is not finite; delete the file, and the next start makes it anew"
            )
    return tensors


def _is_usable(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        read_tensors(path)
    except CacheError as error:
        logger.warning("made anew: %s", error)
        return False
    return True


def _write(path: Path, encode: Encode) -> None:
    try:
        tensors = {name: value.float().cpu().contiguous() for name, value in encode().items()}
    except NotFiniteError as error:
        raise CacheError(f"{path}: {error}") from None
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise CacheError(f"{path}: {name} came out not finite; check the weights of VAE and text encoder")
    with replacing(path) as partial:
        save_file(tensors, partial)


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
