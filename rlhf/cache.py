"""Tensors that are computed once: one safetensors file each, complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
    on_file: Callable[[int], None] = lambda done: None,
) -> None:
    """Write every file that is missing, each process its share, and wait for the others.

    Args:
        folder: made when missing.
        jobs: each file of the folder, and what computes it; called only when it is missing. Its name says
            what it is computed from.
        on_file: called with the number of this process's files that are ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for done, (path, encode) in enumerate(jobs[processes.share()], start=1):
        if not path.exists():
            with replacing(path) as partial:
                save_file(
                    {name: value.float().cpu().contiguous() for name, value in encode().items()}, partial
                )
        on_file(done)
    processes.wait()
