"""Load a model: a base in the Diffusers layout and the LoRA adapters trained on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from generator.model.pipeline import AnyIDPipeline

#: The file of an adapter folder, as Diffusers names it.
ADAPTER_FILE = "pytorch_lora_weights.safetensors"


def load_pipeline(
    base: str | Path,
    adapters: Sequence[str | Path] = (),
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> AnyIDPipeline:
    """Load a base model and put its adapters on, the oldest first, all at full strength.

    Args:
        base: folder in the Diffusers layout, or hub id.
        adapters: folders that hold `pytorch_lora_weights.safetensors`.
        device: where to put it.
        dtype: of all weights; float32 when None.

    Returns:
        The pipeline, with adapters named `adapter_0`, `adapter_1`, ...

    Raises:
        ValueError: a folder is missing or is no model or adapter.
    """
    folder = Path(base)
    if folder.is_absolute() and not (folder / "model_index.json").is_file():
        raise ValueError(f"{folder} is not a model: it has no model_index.json")
    for adapter in adapters:
        if not (Path(adapter) / ADAPTER_FILE).is_file():
            raise ValueError(f"{adapter} is not an adapter: it has no {ADAPTER_FILE}")
    pipeline = AnyIDPipeline.from_pretrained(base, dtype=dtype or torch.float32)
    names = [f"adapter_{index}" for index in range(len(adapters))]
    for name, adapter in zip(names, adapters, strict=True):
        pipeline.load_lora_weights(str(adapter), weight_name=ADAPTER_FILE, adapter_name=name)
    if names:
        pipeline.set_adapters(names)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
