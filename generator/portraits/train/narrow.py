"""Fold a VAE onto its strongest latent directions.

A VAE that was trained with room to spare leaves many of its channels nearly redundant. The transformer pays
for each of them: it predicts velocities, so it must carry the noise of every channel through its width. The
directions that hold the latents' energy are found by an eigendecomposition and folded into the convolutions
next to the latents; what little is lost, further training of the VAE brings back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from generator.model.vae import AutoencoderKLWan
from generator.portraits.tiny import build_vae

#: Log variance of the narrowed posterior before it is trained again.
_LOG_VARIANCE = -6.0


def strongest_directions(latents: Tensor, channels: int) -> tuple[Tensor, float]:
    """Directions of the largest second moments of latents (N, C), whose mean counts as a direction, too.

    Returns:
        Orthonormal rows (`channels`, C), strongest first, and the share of the second moment that they hold.
    """
    moment = latents.double().T @ latents.double() / len(latents)
    values, vectors = torch.linalg.eigh(moment)
    order = values.argsort(descending=True)[:channels]
    return vectors[:, order].T.float(), float(values[order].sum() / values.sum())


@torch.no_grad()
def narrow_vae(wide: AutoencoderKLWan, latents: Tensor, channels: int) -> tuple[AutoencoderKLWan, float]:
    """A VAE of fewer channels that encodes to, and decodes from, the strongest directions of a wide one.

    Args:
        wide: trained, with C latent channels.
        latents: (N, C) of it, before normalisation.
        channels: K.

    Returns:
        The narrow VAE, with latent statistics 0 and 1, and the share of the second moment that it keeps.
    """
    directions, share = strongest_directions(latents, channels)
    narrow = build_vae(channels)
    weights = wide.state_dict()
    mean, bias = (weights.pop(f"quant_conv.{name}")[: len(latents[0])] for name in ("weight", "bias"))
    encode = directions @ mean.flatten(1)  # (K, 2C): from the encoder's output to the strongest directions
    last, last_bias = (weights.pop(f"encoder.conv_out.{name}") for name in ("weight", "bias"))
    weights["encoder.conv_out.weight"] = torch.cat(
        [torch.einsum("kc,c...->k...", encode, last), torch.zeros(channels, *last.shape[1:])]
    )
    weights["encoder.conv_out.bias"] = torch.cat(
        [encode @ last_bias + directions @ bias, torch.full((channels,), _LOG_VARIANCE)]
    )
    decode = weights.pop("post_quant_conv.weight").flatten(1) @ directions.T  # (C, K)
    first, constant = weights.pop("decoder.conv_in.weight"), weights.pop("post_quant_conv.bias")
    weights["decoder.conv_in.weight"] = torch.einsum("oc...,ck->ok...", first, decode)
    weights["decoder.conv_in.bias"] = weights["decoder.conv_in.bias"] + torch.einsum(
        "oc...,c->o", first, constant
    )
    for name, width in (("quant_conv", 2 * channels), ("post_quant_conv", channels)):
        weights[f"{name}.weight"] = torch.eye(width).view(width, width, 1, 1, 1)
        weights[f"{name}.bias"] = torch.zeros(width)
    narrow.load_state_dict(weights)
    return narrow, share
