"""A LoRA for ComfyUI: `python -m generator.model.lora SOURCE TARGET.safetensors [--alpha A]`.

SOURCE is an adapter as Diffusers and this project write it: `transformer.<layer>.lora_A.weight` (down) and
`.lora_B.weight` (up), with alpha in the header; or one of another program, see `generator.model.adapters`.
TARGET has the original Wan's layer names, as ComfyUI's loader looks for them:
`diffusion_model.blocks.0.self_attn.q.lora_A.weight`, `.lora_B.weight` and `.alpha`. Both programs add
`alpha / rank * B @ A` to a weight. Diffusers reads TARGET too.

A plain Wan, there or in ComfyUI, loads such a file but knows no references: only `AnyIDPipeline` (or a node
that does what it does) puts them beside the noisy target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from generator.files import replacing
from generator.model.adapters.adapter import DOWN, UP, read_adapter
from generator.model.adapters.config import COMFYUI, layer_scale
from generator.model.adapters.layer_names import original_layer

_COMFYUI_PREFIX = "diffusion_model."


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
    strange = [name for name in weights if not name.endswith((DOWN, UP))]
    layers = {name.removesuffix(DOWN) for name in weights if name.endswith(DOWN)}
    unpaired = layers ^ {name.removesuffix(UP) for name in weights if name.endswith(UP)}
    if strange or unpaired or not layers:
        named = min([*strange, *unpaired], default="nothing")
        raise ValueError(f"an adapter holds pairs of lora_A.weight and lora_B.weight; here is {named!r}")
    converted: dict[str, Tensor] = {}
    for layer in sorted(layers):
        down, up = weights[layer + DOWN], weights[layer + UP]
        rank = down.shape[0]
        scale = layer_scale(layer, rank, config)
        name = _COMFYUI_PREFIX + original_layer(layer)
        if layer.startswith("blocks."):
            converted[f"{name}.alpha"] = torch.tensor(scale * rank, dtype=torch.float32)
        else:
            up = up * scale
        converted[name + DOWN], converted[name + UP] = down, up
    return converted


def convert(source: str | Path, target: str | Path, *, alpha: float | None = None) -> int:
    """Write an adapter in ComfyUI's form, whole or not at all.

    Args:
        source: adapter folder or file in any form of `generator.model.adapters` but ComfyUI's own.
        target: a `.safetensors` file; replaced where it exists.
        alpha: of a source that does not say its own.

    Returns:
        The number of adapted layers.

    Raises:
        ValueError: the source is no such adapter, or the target no such name.
    """
    adapter, target = read_adapter(source, alpha=alpha), Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"{target} must end in .safetensors")
    if adapter.form == COMFYUI and alpha is None:
        raise ValueError(f"{adapter.file} is in ComfyUI's form already")
    converted = to_comfyui(adapter.weights, adapter.config)
    whole = {name: value.contiguous() for name, value in converted.items()}
    with replacing(target) as temporary:
        # peft's configuration stays behind: beside these names Diffusers would apply alpha a second time.
        save_file(whole, temporary, {"format": "pt"})
    return len(adapter.weights) // 2


def main(arguments: Sequence[str]) -> int:
    """Convert, and say in one line what was written or why not."""
    parser = argparse.ArgumentParser(
        prog="python -m generator.model.lora", usage="%(prog)s SOURCE TARGET.safetensors [--alpha A]"
    )
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--alpha", type=float, help="of a source that does not say its own")
    try:
        chosen = parser.parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    try:
        layers = convert(chosen.source, chosen.target, alpha=chosen.alpha)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.target}: {layers} layers in ComfyUI's form")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
