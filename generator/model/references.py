"""References of any size become latents of one size: resize, pad, encode one by one, join in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from torch.nn import functional

from generator.faults import check_finite
from generator.model.pictures import VisualReference, read_references


def usable_frames(num_frames: int, temporal_factor: int) -> int:
    """How many frames of a clip the VAE can take: the largest `temporal_factor * k + 1` that it has."""
    return (num_frames - 1) // temporal_factor * temporal_factor + 1


def fit(frames: np.ndarray, height: int, width: int) -> Tensor:
    """Resize with the aspect kept, pad to a size with zero pixels, scale to [-1, 1].

    Args:
        frames: (F, H, W, 3) uint8.
        height: pixels of the result.
        width: pixels of the result.

    Returns:
        (1, 3, F, height, width) float32; padding is 0, the middle grey that the unified empty condition uses.
    """
    pixels = torch.tensor(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    scale = min(height / pixels.shape[2], width / pixels.shape[3])
    inner = (max(1, round(pixels.shape[2] * scale)), max(1, round(pixels.shape[3] * scale)))
    if inner != tuple(pixels.shape[2:]):
        pixels = functional.interpolate(pixels, inner, mode="bicubic", antialias=True, align_corners=False)
        pixels = pixels.clamp(-1, 1)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    pixels = functional.pad(pixels, (left, width - inner[1] - left, top, height - inner[0] - top))
    return pixels.transpose(0, 1)[None]


def normalise(latents: Tensor, vae: AutoencoderKLWan) -> Tensor:
    """Shift and scale latents (B, C, F, h, w) to zero mean and unit variance by the VAE's statistics."""
    mean, std = _statistics(vae, latents)
    return (latents - mean) / std


def denormalise(latents: Tensor, vae: AutoencoderKLWan) -> Tensor:
    """The inverse of `normalise`."""
    mean, std = _statistics(vae, latents)
    return latents * std + mean


@torch.no_grad()
def encode(pixels: Tensor, vae: AutoencoderKLWan) -> Tensor:
    """Normalised posterior modes.

    Args:
        pixels: (B, 3, F, H, W) in [-1, 1], F = 4k + 1.
        vae: the encoder.

    Returns:
        (B, C, 1 + (F - 1) / 4, h, w) in the VAE's type.
    """
    latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
    return normalise(latents, vae)


def encode_each(
    references: Sequence[VisualReference], vae: AutoencoderKLWan, height: int, width: int
) -> list[Tensor]:
    """Encode the references of one sample, each on its own, at the size of the video to make.

    Clips are cut to the longest 4k + 1 frames they hold; see `generator.model.pictures.to_frames`.

    Returns:
        (1, C, r, h, w) of each, where a still counts one latent frame and a clip 1 + (F - 1) / 4.

    Raises:
        ValueError: no reference, one that is no picture, or one whose latents are not finite.
    """
    parts = []
    for number, frames in enumerate(read_references(references), start=1):
        frames = frames[: usable_frames(len(frames), vae.config.scale_factor_temporal)]
        latents = encode(fit(frames, height, width), vae)
        check_finite(latents, f"the latents of reference {number}")
        parts.append(latents)
    return parts


def encode_references(
    references: Sequence[VisualReference], vae: AutoencoderKLWan, height: int, width: int
) -> Tensor:
    """`encode_each`, joined in time in the given order: (1, C, R, h, w)."""
    return torch.cat(encode_each(references, vae, height, width), dim=2)


def empty_reference(vae: AutoencoderKLWan, height: int, width: int, num_frames: int = 1) -> Tensor:
    """The visual half of the unified empty condition: the latent of zero pixels, (1, C, num_frames, h, w)."""
    return encode(torch.zeros(1, 3, 1, height, width), vae).repeat(1, 1, num_frames, 1, 1)


def _statistics(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean, device=like.device, dtype=like.dtype).view(shape)
    std = torch.tensor(vae.config.latents_std, device=like.device, dtype=like.dtype).view(shape)
    return mean, std
