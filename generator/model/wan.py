"""Wan2.2-TI2V-5B, the released model that AnyID is built on: its exact configuration, shapes and arithmetic.

The figures are those of the checkpoint `Wan-AI/Wan2.2-TI2V-5B-Diffusers` (Diffusers' conversion script and
the original configuration `ti2v-5B`; UMT5-XXL's from the original text encoder). `load_pipeline` reads the
weights with the same lines as the tiny model's. Here the model is described, so that shapes can be planned
and speed measured where the weights are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan
from transformers import UMT5Config

from generator.model.transformer import AnyIDTransformer

TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "in_channels": 48,
    "out_channels": 48,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 14336,
    "num_layers": 30,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
    "rope_max_seq_len": 1024,
}

# fmt: off
VAE: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "dim_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
    "attn_scales": (),
    "temperal_downsample": (False, True, True),
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
    "latents_mean": (
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
        0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
        -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
        -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
    ),
    "latents_std": (
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
        0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
        0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
        0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
    ),
}
# fmt: on

TEXT_ENCODER: dict[str, Any] = {
    "vocab_size": 256_384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10_240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}

SCHEDULER: dict[str, Any] = {
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "num_train_timesteps": 1000,
    "flow_shift": 5.0,
}

#: Tokens of a prompt; shorter ones are padded, and every pass reads them all.
PROMPT_TOKENS = 512
#: As released: 5 seconds at 24 frames per second, 50 steps at a guidance scale of 5.
HEIGHT, WIDTH, NUM_FRAMES, FPS, STEPS, GUIDANCE_SCALE = 704, 1280, 121, 24, 50, 5.0


def latent_shape(
    num_frames: int, height: int = HEIGHT, width: int = WIDTH, vae: Mapping[str, Any] = VAE
) -> tuple[int, int, int, int]:
    """The latent of a video, or of a reference resized to it; a still has one frame.

    Args:
        num_frames: 4k + 1 for the released VAE; a longer clip counts as its longest such part.
        height: pixels.
        width: pixels.
        vae: the VAE's configuration.

    Returns:
        (channels, frames, height, width): `1 + (num_frames - 1) // 4` frames, sides a 16th.
    """
    step, factor = vae["scale_factor_spatial"], vae["scale_factor_temporal"]
    return vae["z_dim"], 1 + (num_frames - 1) // factor, height // step, width // step


def count_tokens(
    num_frames: int,
    height: int = HEIGHT,
    width: int = WIDTH,
    *,
    vae: Mapping[str, Any] = VAE,
    transformer: Mapping[str, Any] = TRANSFORMER,
) -> int:
    """Tokens of a video, or of a reference resized to it: its latents cut into patches.

    Args:
        num_frames: of the video; 1 for a still.
        height: pixels.
        width: pixels.
        vae: the VAE's configuration.
        transformer: the transformer's configuration.

    Returns:
        At the released size 27,280 for the video of 121 frames, 880 for a still, 7,920 for a clip of 33.
    """
    _, *latent = latent_shape(num_frames, height, width, vae)
    return math.prod(side // patch for side, patch in zip(latent, transformer["patch_size"], strict=True))


def count_forward_flops(
    tokens: int, prompt_tokens: int = PROMPT_TOKENS, transformer: Mapping[str, Any] = TRANSFORMER
) -> int:
    """Floating-point operations of the matrix products of one forward pass of one sample.

    With D the width, F the feed-forward's, S tokens, L prompt tokens and N layers, each multiplication and
    addition counted: `2 N S (6 D^2 + 2 D F)` for the linear layers, `4 N L D^2` for the prompt's keys and
    values, `4 N D (S^2 + S L)` for attention, and the small layers before and after the blocks.

    Args:
        tokens: S, of target and references together.
        prompt_tokens: L.
        transformer: the configuration.

    Returns:
        FLOP; 517e12 at the released size without references.
    """
    width = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    linear = 2 * tokens * (6 * width**2 + 2 * width * transformer["ffn_dim"])
    attention = 4 * width * (tokens**2 + tokens * prompt_tokens)
    blocks = transformer["num_layers"] * (linear + 4 * prompt_tokens * width**2 + attention)
    patch = math.prod(transformer["patch_size"])
    ends = 2 * tokens * width * patch * (transformer["in_channels"] + transformer["out_channels"])
    text = 2 * prompt_tokens * (transformer["text_dim"] * width + width**2)
    # Two timesteps are embedded: the references' and the target's.
    time = 2 * 2 * (transformer["freq_dim"] * width + 7 * width**2)
    return int(blocks + ends + text + time)


def build_transformer(
    config: Mapping[str, Any] = TRANSFORMER,
    *,
    device: str | torch.device,
    dtype: torch.dtype = torch.bfloat16,
    seed: int = 0,
) -> AnyIDTransformer:
    """A transformer with random weights, made where it will stay: no copy ever lies in the machine's memory.

    Args:
        config: of the transformer.
        device: where; `meta` gives shapes only.
        dtype: of the weights; those that upstream keeps in float32 stay so, as when a checkpoint is loaded.
        seed: of the weights.

    Returns:
        The model, in evaluation mode and frozen.
    """
    with init_empty_weights():
        model = AnyIDTransformer(**config)
    generator = None if torch.device(device).type == "meta" else torch.Generator(device).manual_seed(seed)
    for name, parameter in list(model.named_parameters()):
        kept = any(part in name.split(".") for part in model._keep_in_fp32_modules)
        value = torch.empty(parameter.shape, device=device, dtype=torch.float32 if kept else dtype)
        value.normal_(std=0.02, generator=generator)
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(value, requires_grad=False))
    return model.to(device).eval()


def build_vae(*, device: str | torch.device = "meta") -> AutoencoderKLWan:
    """The released VAE's architecture with random weights."""
    with torch.device(device):
        return AutoencoderKLWan(**{k: list(v) if isinstance(v, tuple) else v for k, v in VAE.items()}).eval()


def text_encoder_config() -> UMT5Config:
    """UMT5-XXL's configuration: 5.7 billion parameters in the encoder."""
    return UMT5Config(**TEXT_ENCODER)
