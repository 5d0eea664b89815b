"""An adapter: read from a file of any program, put on a model, written as Diffusers does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from generator.adapter_files import ADAPTER_FILE, PEFT_FILE
from generator.model.adapters.config import (
    COMFYUI,
    DIFFSYNTH,
    DIFFUSERS,
    KOHYA,
    METADATA_KEY,
    PEFT,
    peft_config,
)
from generator.model.adapters.layer_names import diffusers_layer, underscored_layer

#: Halves of a LoRA: A (rank, in) and B (out, rank).
DOWN, UP = ".lora_A.weight", ".lora_B.weight"

#: Beginnings of names, the longest first.
_PREFIXES = {
    "base_model.model.": PEFT,
    "diffusion_model.": COMFYUI,
    "transformer.": DIFFUSERS,
    "lora_unet_": KOHYA,
    "pipe.dit.": DIFFSYNTH,
    "dit.": DIFFSYNTH,
}
_HALF = re.compile(r"^(?P<layer>.+)\.lora_(?P<half>A|B|down|up)(\.(?P<adapter>[^.]+))?\.weight$")
_ALPHA = re.compile(r"^(?P<layer>.+)\.alpha$")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Adapter:
    """A LoRA of the transformer."""

    file: Path  # where it was read
    form: str  # of the file
    weights: Mapping[str, Tensor]  # by Diffusers' layer and `DOWN` or `UP`
    config: Mapping[str, Any]  # peft's configuration


def adapter_file(adapter: str | Path) -> Path:
    """The weights of an adapter: a folder as Diffusers or PEFT writes it, or a safetensors file.

    Raises:
        ValueError: there is none.
    """
    path = Path(adapter)
    if path.suffix == ".safetensors" and path.is_file():
        return path
    for name in (ADAPTER_FILE, PEFT_FILE):
        if (path / name).is_file():
            return path / name
    pickles = [file for file in (path, *sorted(path.glob("*"))) if file.suffix in _PICKLES and file.is_file()]
    if pickles:
        raise ValueError(
            f"{pickles[0]} is a pickle, which can run programs; load it where it was made and save it with "
            "safetensors.torch.save_file"
        )
    raise ValueError(
        f"{path} is not an adapter: it has no {ADAPTER_FILE} (Diffusers) and no {PEFT_FILE} (PEFT)"
    )


def read_adapter(adapter: str | Path, *, alpha: float | None = None) -> Adapter:
    """Read an adapter in any of the forms.

    Args:
        adapter: folder or file.
        alpha: of one that does not say its own.

    Raises:
        ValueError: another form, or alpha unknown; the message names file, form and remedy.
    """
    file = adapter_file(adapter)
    tensors, header = _read(file)
    named = {name: _parse(file, name, value.numel() == 1) for name, value in tensors.items()}
    forms = {form for form, *_ in named.values()}
    if not forms:
        raise ValueError(f"{file} holds nothing; save the adapter again")
    if len(forms) > 1:
        raise ValueError(f"{file} mixes the forms {', '.join(sorted(forms))}; keep one adapter in a file")
    form = forms.pop()
    weights: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    for name, (_, layer, _, end) in named.items():
        if layer + end in weights or (not end and layer in alphas):
            raise ValueError(f"{file} ({form} form) holds several adapters of {layer!r}; keep one in a file")
        if end:
            weights[layer + end] = tensors[name]
        else:
            alphas[layer] = float(tensors[name])
    _check_pairs(file, form, weights)
    # Layers as the file spells them, with their ranks.
    spelled = {layer: name for _, layer, name, end in named.values() if end == DOWN}
    ranks = {layer: (name, len(weights[layer + DOWN])) for layer, name in sorted(spelled.items())}
    config = peft_config(file, form, header, alpha, alphas, ranks)
    return Adapter(file, form, weights, config)


def check_fits(adapter: Adapter, transformer: nn.Module) -> None:
    """Refuse an adapter of another model.

    Raises:
        ValueError: a layer that the model does not have, or one of another size.
    """
    layers = {name.removesuffix(DOWN) for name in adapter.weights if name.endswith(DOWN)}
    said, remedy = f"{adapter.file} ({adapter.form} form)", "load it on the base that it was trained on"
    modules = {
        name: getattr(module, "base_layer", module)
        for name, module in transformer.named_modules()
        if name in layers
    }
    linear = {name: module for name, module in modules.items() if isinstance(module, nn.Linear)}
    if unknown := sorted(layers - set(linear)):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(f"{said} adapts {unknown[0]!r}{more}, no linear layer of this model; {remedy}")
    for layer, module in linear.items():
        sizes = adapter.weights[layer + DOWN].shape[1], adapter.weights[layer + UP].shape[0]
        if sizes != (module.in_features, module.out_features):
            raise ValueError(
                f"{said} takes {sizes[0]} numbers and gives {sizes[1]} at {layer!r}, where this model has "
                f"{module.in_features} and {module.out_features}: it is of another base; {remedy}"
            )


def put_on(transformer: Any, adapter: Adapter, name: str | None = None, *, pipeline: Any = None) -> None:
    """Load an adapter into a transformer, active at full strength.

    Args:
        transformer: of Diffusers.
        adapter: to load.
        name: of the adapter in the model.
        pipeline: whose offloading is set aside meanwhile.

    Raises:
        ValueError: it is of another model.
    """
    check_fits(adapter, transformer)
    transformer.load_lora_adapter(
        dict(adapter.weights),
        prefix=None,
        adapter_name=name,
        metadata=dict(adapter.config),
        low_cpu_mem_usage=True,
        _pipeline=pipeline,
    )


def write_adapter(adapter: Adapter, file: Path) -> None:
    """Write an adapter of any form as Diffusers does, with its alpha in the header."""
    stated = {f"transformer.{name}": value for name, value in adapter.config.items()}
    tensors = {f"transformer.{name}": value.contiguous() for name, value in adapter.weights.items()}
    save_file(tensors, file, {"format": "pt", METADATA_KEY: json.dumps(stated, sort_keys=True)})


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, "pt") as content:
            header = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is no safetensors file: {error}") from None
    if broken := [name for name, value in tensors.items() if not value.float().isfinite().all()]:
        raise ValueError(f"{file}: {broken[0]} is not finite; take the adapter from an earlier checkpoint")
    return tensors, header


def _parse(file: Path, name: str, is_number: bool) -> tuple[str, str, str, str]:
    """Form, Diffusers' layer, how the file spells it, and `DOWN`, `UP` or nothing for an alpha."""
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    form, rest = _PREFIXES.get(prefix), name.removeprefix(prefix)
    half, alpha = _HALF.match(rest), _ALPHA.match(rest)
    match = half or alpha
    if match is None or (alpha and not is_number):
        known = f" ({form} form)" if form else ""
        raise ValueError(
            f"{file}{known} holds {name!r}; an adapter holds pairs of lora_A.weight and lora_B.weight of a "
            "plain LoRA: merge anything else into its base"
        )
    layer = match["layer"]
    original = underscored_layer(layer) if form == KOHYA else diffusers_layer(layer)
    if form is None:
        # PEFT without its prefix has Diffusers' names, DiffSynth the original ones.
        form = DIFFSYNTH if original else PEFT
        if original is None and not layer.startswith(("blocks.", "condition_embedder.", "proj_out")):
            raise ValueError(
                f"{file} holds {name!r}; only layers of the transformer are read, in the form of Diffusers, "
                "PEFT, DiffSynth, ComfyUI or kohya"
            )
    end = "" if alpha else DOWN if half and half["half"] in ("A", "down") else UP
    return form, original or layer, layer, end


def _check_pairs(file: Path, form: str, weights: Mapping[str, Tensor]) -> None:
    layers = {name.removesuffix(DOWN) for name in weights if name.endswith(DOWN)}
    unpaired = layers ^ {name.removesuffix(UP) for name in weights if name.endswith(UP)}
    if unpaired or not layers:
        unpaired_name = repr(min(unpaired)) if unpaired else "nothing"
        raise ValueError(
            f"{file} ({form} form) holds one half of {unpaired_name}; an adapter holds pairs: save it again"
        )
    for layer in sorted(layers):
        down, up = weights[layer + DOWN], weights[layer + UP]
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
            raise ValueError(
                f"{file} ({form} form): A and B of {layer!r} have shapes {tuple(down.shape)} and "
                f"{tuple(up.shape)}, which is no LoRA of a linear layer; save it again"
            )
