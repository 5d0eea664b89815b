"""What an adapter says of its strength: peft's configuration, whatever program wrote the file."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import LoraConfig
from peft.utils.other import get_pattern_key

from generator.adapter_files import PEFT_CONFIG

logger = logging.getLogger(__name__)

DIFFUSERS, PEFT, DIFFSYNTH, COMFYUI, KOHYA = "Diffusers", "PEFT", "DiffSynth", "ComfyUI", "kohya"
#: Those whose programs take alpha for the rank where a file names none.
_ALPHA_IS_RANK = (DIFFSYNTH, COMFYUI, KOHYA)
#: Where Diffusers keeps peft's configuration in the header of a file.
METADATA_KEY = "lora_adapter_metadata"


def peft_config(
    file: Path,
    form: str,
    header: Mapping[str, str],
    alpha: float | None,
    alphas: Mapping[str, float],
    ranks: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    """Peft's configuration: the file's own where it has one, else of what it says in other places."""
    own = _stated_config(file, form, header)
    if own and (own.get("use_dora") or own.get("peft_type", "LORA") != "LORA"):
        raise ValueError(
            f"{file} ({form} form) is no plain LoRA; merge it into its base, or train a plain LoRA"
        )
    if alpha is not None and (alphas or (own or {}).get("lora_alpha") is not None):
        raise ValueError(f"{file} ({form} form) says its alpha itself; leave alpha out")
    if own and own.get("lora_alpha") is not None and METADATA_KEY in header and _peft_knows(own):
        return own  # as Diffusers itself loads it
    stated = own if own and own.get("lora_alpha") is not None else None
    if stated is None and alpha is None and not alphas:
        if form not in _ALPHA_IS_RANK:
            raise ValueError(
                f"{file} ({form} form) does not say its alpha, without which it acts at another strength; "
                f"put its {PEFT_CONFIG} beside it, or convert it: python -m generator.model.lora {file} "
                "TARGET.safetensors --alpha A"
            )
        logger.warning("%s (%s form) names no alpha; it is taken for the rank, as %s does", file, form, form)
    per_layer = {
        layer: _layer_alpha(layer, spelled, rank, stated, alpha, alphas)
        for layer, (spelled, rank) in ranks.items()
    }
    first = next(rank for _, rank in ranks.values())
    return {
        "r": first,
        "lora_alpha": first,
        "target_modules": list(ranks),
        "rank_pattern": {f"^{re.escape(layer)}": rank for layer, (_, rank) in ranks.items()},
        "alpha_pattern": {f"^{re.escape(layer)}": value for layer, value in per_layer.items()},
    }


def layer_scale(layer: str, rank: int, config: Mapping[str, Any] | None) -> float:
    """What peft multiplies `B @ A` by.

    Args:
        layer: by the name that the configuration's patterns are for.
        rank: of the layer's A.
        config: peft's; None where there is none.

    Returns:
        `alpha / rank` (`alpha / sqrt(rank)` for rsLoRA), with alpha from the layer's own pattern where it has
        one; 1 without a configuration.
    """
    if config is None:
        return 1.0
    patterns = config.get("alpha_pattern") or {}
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), layer), config.get("lora_alpha", rank)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _peft_knows(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has only fields that this peft has; later ones add some."""
    return set(config) <= set(LoraConfig.__dataclass_fields__)


def _layer_alpha(
    layer: str,
    spelled: str,
    rank: int,
    stated: Mapping[str, Any] | None,
    alpha: float | None,
    alphas: Mapping[str, float],
) -> float:
    """Alpha of a layer: its own, that of a configuration with patterns for `spelled`, or the given one."""
    if layer in alphas:
        return alphas[layer]
    if stated is not None:
        return layer_scale(spelled, rank, stated) * rank
    return float(rank) if alpha is None else alpha


def _stated_config(file: Path, form: str, header: Mapping[str, str]) -> dict[str, Any] | None:
    """The configuration in the header of a file, or in PEFT's file beside it where the form needs one."""
    try:
        if METADATA_KEY in header:
            config = json.loads(header[METADATA_KEY])
        elif form not in _ALPHA_IS_RANK and (file.parent / PEFT_CONFIG).is_file():
            config = json.loads((file.parent / PEFT_CONFIG).read_text(encoding="utf-8"))
        else:
            return None
    except ValueError as error:
        raise ValueError(
            f"{file} has a configuration that is not JSON ({error}); save the adapter again"
        ) from None
    if not isinstance(config, dict):
        raise ValueError(
            f"{file} has a configuration that is {type(config).__name__}; save the adapter again"
        )
    return {name.removeprefix("transformer."): value for name, value in config.items()}
