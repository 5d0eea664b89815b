"""What of VBench's dimensions needs networks, of those whose licences allow every use.

    subject_consistency     frames of one clip by DINO (v1) ViT-B/16
    background_consistency  frames of one clip by CLIP ViT-B/32
    aesthetic_quality       LAION's linear predictor on CLIP ViT-L/14, from 1 to 10, over 10

Weights in the folder of models: `dino`, `clip` and `clip_l14` as transformers keeps them, and
`laion_aesthetic`, the linear layer as a safetensors file with `weight` (1, D) and `bias` (1). Sta. is then
the mean of imaging and aesthetic quality, Dyn. that of all four temporal dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from transformers import ViTModel

from generator.curation.weights import Weights
from rlhf.evaluation.metrics.elements import Embedder
from rlhf.evaluation.metrics.elements_models import PictureEmbedder, class_token, clip_embedder
from rlhf.evaluation.metrics.quality import (
    MIN_SIDE,
    TEMPORAL,
    Dimension,
    Frames,
    Quality,
    describe,
    imaging_quality,
)
from rlhf.evaluation.metrics.registry import MetricOptions

NAMES = ("dino", "clip", "clip_l14", "laion_aesthetic")
#: Frames that a network looks at together.
BATCH = 32


def make(options: MetricOptions) -> Quality:
    """Load all four."""
    weights = {name: options.weights(name) for name in NAMES}
    large_clip = clip_embedder(weights["clip_l14"])
    weight, bias = read_linear(weights["laion_aesthetic"])
    if (width := large_clip.embed([np.zeros((MIN_SIDE, MIN_SIDE, 3), np.uint8)]).shape[1]) != len(weight):
        raise ValueError(f"laion_aesthetic reads {len(weight)} numbers, and clip_l14 gives {width}")
    frame_wise: Mapping[str, Dimension] = {
        "imaging_quality": imaging_quality,
        "aesthetic_quality": partial(aesthetic_quality, large_clip, weight, bias),
    }
    temporal: Mapping[str, Dimension] = {
        **TEMPORAL,
        "subject_consistency": partial(consistency, dino_v1_embedder(weights["dino"])),
        "background_consistency": partial(consistency, clip_embedder(weights["clip"])),
    }
    facts = describe(frame_wise, temporal, tuple(weights.values()))
    return Quality(facts, frame_wise, temporal)


def consistency(embedder: Embedder, frames: Frames) -> float:
    """How much frames look like the one before them and like the first.

    Mean over t = 1.. of (max(0, cos(e_t, e_(t-1))) + max(0, cos(e_t, e_0))) / 2.

    Args:
        embedder: gives e.
        frames: RGB, shape (H, W, 3) each, at least two.

    Returns:
        In [0, 1].
    """
    embedded = embed(embedder, frames)
    before = (embedded[1:] * embedded[:-1]).sum(axis=1)
    first = embedded[1:] @ embedded[0]
    return float(np.mean([before.clip(0, 1), first.clip(0, 1)]))


def aesthetic_quality(embedder: Embedder, weight: NDArray[np.float64], bias: float, frames: Frames) -> float:
    """Mean over frames of (w . e + b) / 10, in [0, 1].

    Args:
        embedder: gives e, of D numbers.
        weight: w, shape (D,).
        bias: b.
        frames: RGB, shape (H, W, 3) each, at least one.
    """
    return float(((embed(embedder, frames) @ weight + bias) / 10).clip(0, 1).mean())


def embed(embedder: Embedder, frames: Frames) -> NDArray[np.float64]:
    """Unit vectors of all frames, (F, D), a batch at a time."""
    return np.concatenate(
        [embedder.embed(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
    )


def dino_v1_embedder(weights: Weights) -> PictureEmbedder:
    """A DINO of the first version, by its class token."""
    # Its pooler was never trained, and so is not in the file.
    kind = SimpleNamespace(from_pretrained=partial(ViTModel.from_pretrained, add_pooling_layer=False))
    return PictureEmbedder(weights, kind, ("vit",), class_token)


def read_linear(weights: Weights) -> tuple[NDArray[np.float64], float]:
    """Weight (D,) and bias of a linear layer with one output."""
    try:
        tensors = load_file(weights.path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{weights.path.name} cannot be loaded: {error}") from None
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes.keys() != {"weight", "bias"} or shapes["weight"][:-1] != (1,) or shapes["bias"] != (1,):
        raise ValueError(f"{weights.path.name} holds {shapes}; it needs weight (1, D) and bias (1)")
    return tensors["weight"][0].astype(np.float64), float(tensors["bias"][0])
