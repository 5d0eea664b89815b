"""Tensors that are computed once a run: one safetensors file each, complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from generator.media import replacing
from rlhf import processes

#: Computes the tensors of one file.
Encode = Callable[[], Mapping[str, Tensor]]


def fill(
    folder: Path,
    jobs: Sequence[tuple[Path, Encode]],
    *,
    keys: Mapping[Path, str] | None = None,
    on_file: Callable[[int], None] = lambda done: None,
) -> None:
    """Write every file that is missing or stale, each process its share, and wait for the others.

    Args:
        folder: made when missing.
        jobs: each file of the folder, and what computes it; called only when it is missing or stale.
        keys: hash of what a file is computed from, written into it; a file with another one is stale. None
            where names say it already.
        on_file: called with the number of this process's files that are ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for done, (path, encode) in enumerate(jobs[processes.share()], start=1):
        key = keys[path] if keys else None
        if not path.exists() or (key and key_of(path) != key):
            with replacing(path) as partial:
                tensors = {name: value.float().cpu().contiguous() for name, value in encode().items()}
                save_file(tensors, partial, {"key": key} if key else None)
        on_file(done)
    processes.wait()


def key_of(path: Path) -> str | None:
    """The key that a file was written with, or None."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("key")
