"""Pipelines of other models, read from local folders in the Diffusers layout; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import DiffusionPipeline

from generator.model.precision import choose_precision

Pipeline = TypeVar("Pipeline", bound=DiffusionPipeline)


def accelerator() -> tuple[torch.device, torch.dtype]:
    """Where large models run, and in which numbers."""
    precision = choose_precision(exact=True)
    return torch.device(precision.device), precision.dtype


def check_pipeline(folder: Path) -> None:
    """Refuse a folder that holds no pipeline.

    Raises:
        ValueError: it does not.
    """
    if not (folder / "model_index.json").is_file():
        raise ValueError(
            f"{folder} has no model_index.json; give a local folder in the Diffusers layout: nothing is "
            "downloaded"
        )


def load_local(
    kind: type[Pipeline], folder: Path, device: torch.device | str, dtype: torch.dtype
) -> Pipeline:
    """Load a pipeline from safetensors.

    Args:
        kind: its class.
        folder: in the Diffusers layout.
        device: where to put it.
        dtype: of all weights.

    Raises:
        ValueError: the folder holds no pipeline.
        OSError: a part of it is missing.
    """
    check_pipeline(folder)
    pipeline: Pipeline = kind.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    if torch.device(device).type != "cpu":
        pipeline.vae.enable_slicing()
        pipeline.vae.enable_tiling()
    return pipeline
