"""Out of focus: a Gaussian blur of pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def blur(pixels: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (..., H, W) by `sigma` pixels."""
    offsets = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    flat = pixels.reshape(-1, 1, *pixels.shape[-2:])
    flat = functional.conv2d(functional.pad(flat, (4, 4, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = functional.conv2d(functional.pad(flat, (0, 0, 4, 4), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.view(pixels.shape)
