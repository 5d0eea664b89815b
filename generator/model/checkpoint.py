"""Load a model: a base in the Diffusers layout and the LoRA adapters trained on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from generator.model.adapters.adapter import put_on, read_adapter
from generator.model.kernels import choose_attention, compile_blocks
from generator.model.pipeline import AnyIDPipeline
from generator.model.transformer import AnyIDTransformer
from generator.model_files import model_folder


def load_pipeline(
    base: str | Path,
    adapters: Sequence[str | Path] = (),
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    attention: str | None = None,
    compiled: bool = False,
    transformer_device: str | torch.device | None = None,
    alpha: float | None = None,
    weights: Sequence[float] | None = None,
) -> AnyIDPipeline:
    """Load a base model and put its adapters on, the oldest first.

    Args:
        base: folder in the Diffusers layout, or hub id of one in the local cache; nothing is downloaded.
        adapters: folders or safetensors files in any form of `generator.model.adapters`.
        device: where to put it.
        dtype: of all weights; float32 when None.
        attention: a backend of `generator.model.kernels.choose_attention`; Diffusers' default when None.
        compiled: whether to compile the blocks, see `generator.model.kernels.compile_blocks`.
        transformer_device: where to put the transformer instead, such as "cpu" for one that does not fit.
        alpha: of adapters that do not say their own.
        weights: what each adapter is multiplied by; 1 each when None.

    Returns:
        The pipeline, with adapters named `adapter_0`, `adapter_1`, ...

    Raises:
        ValueError: a folder is missing or is no model or adapter, or an adapter is of another base.
    """
    folder = Path(base)
    if folder.is_absolute() and not (folder / "model_index.json").is_file():
        raise ValueError(f"{folder} is not a model: it has no model_index.json")
    read = {f"adapter_{index}": read_adapter(adapter, alpha=alpha) for index, adapter in enumerate(adapters)}
    pipeline = AnyIDPipeline.from_pretrained(model_folder(base), dtype=dtype or torch.float32)
    for name, adapter in read.items():
        put_on(pipeline.transformer, adapter, name)
    if read:
        pipeline.set_adapters(list(read), list(weights) if weights is not None else None)
    for part in (pipeline.text_encoder, pipeline.vae):
        part.to(device)
    pipeline.transformer.to(device if transformer_device is None else transformer_device)
    if torch.device(device).type != "cpu":
        # A batch of large videos is decoded one by one: all at once would not fit.
        pipeline.vae.enable_slicing()
    if attention is not None:
        choose_attention(pipeline.transformer, attention)
    if compiled:
        compile_blocks(pipeline.transformer)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def outline(folder: Path) -> AnyIDTransformer:
    """The transformer of a base without its weights, to hold an adapter against."""
    with torch.device("meta"):
        built: AnyIDTransformer = AnyIDTransformer.from_config(
            AnyIDTransformer.load_config(folder / "transformer")
        )
    return built
