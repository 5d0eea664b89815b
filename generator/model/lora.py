"""A LoRA for ComfyUI: `python -m generator.model.lora SOURCE TARGET.safetensors`.

SOURCE is an adapter as Diffusers and this project write it: `transformer.<layer>.lora_A.weight` (down) and
`.lora_B.weight` (up), with alpha in the header. TARGET has the original Wan's layer names, as ComfyUI's
loader looks for them: `diffusion_model.blocks.0.self_attn.q.lora_A.weight`, `.lora_B.weight` and `.alpha`.
Both programs add `alpha / rank * B @ A` to a weight. Diffusers reads TARGET too.

A plain Wan, there or in ComfyUI, loads such a file but knows no references: only `AnyIDPipeline` (or a node
that does what it does) puts them beside the noisy target.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from generator.adapter_files import ADAPTER_FILE

#: Where Diffusers keeps peft's configuration in the header of a file, and its prefix there and in the names.
_METADATA_KEY, _PREFIX = "lora_adapter_metadata", "transformer."
_COMFYUI_PREFIX = "diffusion_model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"

#: Layers of a block: Diffusers' name, the original name.
_BLOCK_LAYERS = {
    **{f"attn1.to_{name}": f"self_attn.{name}" for name in "qkv"},
    **{f"attn2.to_{name}": f"cross_attn.{name}" for name in "qkv"},
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_out.0": "cross_attn.o",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
#: Layers outside the blocks.
_OTHER_LAYERS = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
}


def adapter_file(adapter: str | Path) -> Path:
    """The weights of an adapter: a folder as Diffusers writes it, or a safetensors file.

    Raises:
        ValueError: there is none.
    """
    path = Path(adapter)
    if path.suffix == ".safetensors" and path.is_file():
        return path
    if not (path / ADAPTER_FILE).is_file():
        raise ValueError(f"{path} is not an adapter: it has no {ADAPTER_FILE}")
    return path / ADAPTER_FILE


def original_layer(layer: str) -> str:
    """The original Wan's name of a Diffusers layer: `blocks.3.attn1.to_out.0` is `blocks.3.self_attn.o`.

    Raises:
        ValueError: it is no linear layer of Wan's transformer that ComfyUI's form has a name for.
    """
    head, _, rest = layer.partition(".")
    number, _, inner = rest.partition(".")
    if head == "blocks" and number.isdigit() and inner in _BLOCK_LAYERS:
        return f"blocks.{number}.{_BLOCK_LAYERS[inner]}"
    if layer in _OTHER_LAYERS:
        return _OTHER_LAYERS[layer]
    raise ValueError(
        f"layer {layer!r} has no name in ComfyUI's form; train the linear layers of the blocks instead"
    )


def layer_scale(layer: str, rank: int, config: Mapping[str, Any] | None) -> float:
    """What peft multiplies `B @ A` by.

    Args:
        layer: Diffusers' name.
        rank: of the layer's A.
        config: peft's, from the file's header; None where the file has none.

    Returns:
        `alpha / rank` (`alpha / sqrt(rank)` for rsLoRA), with alpha from the layer's own pattern where it has
        one; 1 without a configuration, as Diffusers reads such files.
    """
    if config is None:
        return 1.0
    values = LoraConfig(**config)
    patterns = values.alpha_pattern or {}
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), layer), values.lora_alpha))
    return alpha / (math.sqrt(rank) if values.use_rslora else rank)


def to_comfyui(weights: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """The tensors of a Diffusers adapter under ComfyUI's names.

    Args:
        weights: by `<layer>.lora_A.weight` (rank, in) and `<layer>.lora_B.weight` (out, rank).
        config: peft's configuration; None means alpha = rank.

    Returns:
        The same tensors, and a float32 scalar `alpha` for every layer of a block. Outside the blocks
        Diffusers reads no alpha, so there it is multiplied into B.

    Raises:
        ValueError: something other than pairs of A and B, or a layer that has no name there.
    """
    if config is not None and config.get("use_dora"):
        raise ValueError(
            "a DoRA has no place in ComfyUI's form, and Diffusers drops half of it; train a plain LoRA"
        )
    strange = [name for name in weights if not name.endswith((_DOWN, _UP))]
    layers = {name.removesuffix(_DOWN) for name in weights if name.endswith(_DOWN)}
    unpaired = layers ^ {name.removesuffix(_UP) for name in weights if name.endswith(_UP)}
    if strange or unpaired or not layers:
        named = min([*strange, *unpaired], default="nothing")
        raise ValueError(f"an adapter holds pairs of lora_A.weight and lora_B.weight; here is {named!r}")
    converted: dict[str, Tensor] = {}
    for layer in sorted(layers):
        down, up = weights[layer + _DOWN], weights[layer + _UP]
        rank = down.shape[0]
        scale = layer_scale(layer, rank, config)
        name = _COMFYUI_PREFIX + original_layer(layer)
        if layer.startswith("blocks."):
            converted[f"{name}.alpha"] = torch.tensor(scale * rank, dtype=torch.float32)
        else:
            up = up * scale
        converted[name + _DOWN], converted[name + _UP] = down, up
    return converted


def convert(source: str | Path, target: str | Path) -> int:
    """Write an adapter in ComfyUI's form, whole or not at all.

    Args:
        source: adapter folder or file of Diffusers.
        target: a `.safetensors` file; replaced where it exists.

    Returns:
        The number of adapted layers.

    Raises:
        ValueError: the source is no such adapter, or the target no such name.
    """
    file, target = adapter_file(source), Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"{target} must end in .safetensors")
    weights, config = _read(file)
    converted = to_comfyui(weights, config)
    partial = target.with_name(f".{target.name}.partial")
    # peft's configuration stays behind: beside these names Diffusers would apply alpha a second time.
    save_file({name: value.contiguous() for name, value in converted.items()}, partial, {"format": "pt"})
    os.replace(partial, target)
    return len(weights) // 2


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The transformer's tensors of a Diffusers adapter, and peft's configuration."""
    try:
        with safe_open(file, "pt") as content:
            header = content.metadata() or {}
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is no safetensors file: {error}") from None
    if any(name.startswith(_COMFYUI_PREFIX) for name in weights):
        raise ValueError(f"{file} is in ComfyUI's form already")
    if foreign := [name for name in weights if not name.startswith(_PREFIX)]:
        raise ValueError(f"{file} holds {foreign[0]!r}; only layers of the transformer can be converted")
    config = json.loads(header[_METADATA_KEY]) if _METADATA_KEY in header else None
    if config is not None:
        config = {name.removeprefix(_PREFIX): value for name, value in config.items()}
    return {name.removeprefix(_PREFIX): value for name, value in weights.items()}, config


def main(arguments: Sequence[str]) -> int:
    """Convert, and say in one line what was written or why not."""
    if len(arguments) != 2:
        print("usage: python -m generator.model.lora SOURCE TARGET.safetensors", file=sys.stderr)
        return 2
    try:
        layers = convert(*arguments)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{arguments[1]}: {layers} layers in ComfyUI's form")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
