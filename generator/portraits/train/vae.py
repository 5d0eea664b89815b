"""Train the tiny VAE on drawn stills and clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.model.precision import Precision
from generator.model.vae import AutoencoderKLWan
from generator.portraits.tiny import LATENT_CHANNELS, build_vae
from generator.portraits.train.data import PEOPLE, Rendered, render_people
from generator.portraits.train.narrow import narrow_vae
from generator.portraits.train.optimiser import Optimiser, join_processes, trapezoid
from generator.portraits.train.progress import Log, is_checkpoint, load_state, save_state

#: Batches (clips, frames) of about equal cost: stills; short clips, which hold both kinds of latent frame;
#: whole clips, whose last frames follow on a chunk of four instead of on a first frame.
STILLS, SHORT, WHOLE = (16, 1), (5, 5), (3, 9)
#: The VAE learns with this many channels, and is narrowed to `LATENT_CHANNELS` when it knows which count.
WIDE_CHANNELS = 48
#: Nats per latent number are cheap: they only keep the latents' scale near one.
KL_WEIGHT = 1e-4


def to_pixels(frames: np.ndarray) -> Tensor:
    """Frames (B, F, H, W, 3) uint8 as (B, 3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Mean absolute error of pixels (B, 3, F, H, W) and of their differences to neighbours, faces most."""
    height, width = pixels.shape[-2:]
    rows = torch.linspace(-1, 1, height)[:, None] + 0.15
    columns = torch.linspace(-1, 1, width)[None]
    weight = 0.6 + 1.4 * torch.exp(-(rows**2 + columns**2) / 0.25)
    difference = decoded - pixels
    edges = difference.diff(dim=-1)[..., 1:, :].abs() + difference.diff(dim=-2)[..., 1:].abs()
    return (difference.abs() * weight).mean() + 0.5 * (edges * weight[1:, 1:]).mean()


def train_vae(
    folder: Path,
    steps: int,
    precision: Precision,
    *,
    lr: float = 1e-3,
    seed: int = 0,
    people: int = PEOPLE,
) -> None:
    """Train, or go on from the last state in the working folder; the VAE comes out as `vae/`.

    A narrowed VAE goes on as one, and its steps count from then.
    """
    rank, _ = join_processes()
    torch.manual_seed(seed)
    rendered = render_people(folder / "people", 0, people)
    state = folder / "vae-state.pt"
    saved = load_state(state)
    vae = build_vae(len(saved["vae"]["post_quant_conv.bias"]) if saved else WIDE_CHANNELS)
    optimiser = Optimiser([vae], lr, precision.dtype, plain=("conv_in", "conv_out"))
    start = 0
    if saved:
        vae.load_state_dict(saved["vae"])
        start = saved["step"]
        if start:
            optimiser.load_state_dict(saved["optimiser"])
    log = Log()
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step, rank])
        kind, loss = _one_step(vae, rendered, rng, step, precision)
        loss.backward()
        norm = optimiser.step(trapezoid(step, steps))
        if rank == 0:
            log.add(step, **{kind: loss.item()}, norm=norm)
            if is_checkpoint(step, steps):
                save_state(state, vae=vae.state_dict(), optimiser=optimiser.state_dict(), step=step + 1)
    if rank == 0:
        measure_statistics(vae, rendered, seed)
        vae.save_pretrained(folder / "vae")


def narrow(folder: Path) -> None:
    """Fold the trained VAE onto its strongest directions; training goes on from step 0 with that one."""
    wide = AutoencoderKLWan.from_pretrained(folder / "vae")
    latents = sample_latents(wide, render_people(folder / "people", 0, PEOPLE), seed=0)
    vae, share = narrow_vae(wide, latents, LATENT_CHANNELS)
    print(json.dumps({"channels": LATENT_CHANNELS, "share_of_second_moment": round(share, 4)}), flush=True)
    save_state(folder / "vae-state.pt", vae=vae.state_dict(), step=0)


def _one_step(
    vae: AutoencoderKLWan, rendered: Rendered, rng: np.random.Generator, step: int, precision: Precision
) -> tuple[str, Tensor]:
    """One batch's loss: clips in four steps of five."""
    kind = (STILLS, SHORT, WHOLE, SHORT, WHOLE)[step % 5]
    size, num_frames = kind
    people = rng.integers(len(rendered.clips), size=size)
    if kind is STILLS:
        chosen = [rendered.stills[person, rng.integers(rendered.stills.shape[1])][None] for person in people]
    else:
        chosen = [rendered.clips[person, rng.integers(rendered.clips.shape[1])] for person in people]
        start = int(rng.integers(len(chosen[0]) - num_frames + 1))
        chosen = [frames[start : start + num_frames] for frames in chosen]
    pixels = to_pixels(np.stack(chosen))
    with precision.autocast():
        posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.sample(), return_dict=False)[0]
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    loss = reconstruction_loss(decoded.float(), pixels) + KL_WEIGHT * kl
    return ("still" if kind is STILLS else "clip"), loss


@torch.no_grad()
def sample_latents(vae: AutoencoderKLWan, rendered: Rendered, seed: int) -> Tensor:
    """Latents of a clip and a still of 96 people, before normalisation: (N, C)."""
    rng = np.random.default_rng([seed, 17])
    people = rng.integers(len(rendered.clips), size=96)
    drawn = [(rendered.clips[person, :1], rendered.stills[person, :1, None]) for person in people]
    latents = [vae.encode(to_pixels(frames)).latent_dist.mode() for both in drawn for frames in both]
    return torch.cat([latent.movedim(1, -1).flatten(0, -2) for latent in latents])


def measure_statistics(vae: AutoencoderKLWan, rendered: Rendered, seed: int) -> None:
    """Write what latents are normalised by into the VAE's config: each channel's mean, and a scale.

    The scale is the geometric mean of the channel's own standard deviation and the average one: channels that
    show more keep more variance, yet faint ones are not lost in the noise.
    """
    latents = sample_latents(vae, rendered, seed)
    deviation = latents.std(0)
    scale = (deviation * deviation.mean()).sqrt()
    vae.register_to_config(latents_mean=latents.mean(0).tolist(), latents_std=scale.tolist())
