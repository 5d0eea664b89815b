"""Train the tiny VAE on drawn stills and clips."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.model.tiny import build_vae
from generator.model.vae import AutoencoderKLWan
from generator.portraits.train.data import Rendered, render_people
from generator.portraits.train.optimiser import Optimiser, join_processes, trapezoid

#: Batches of about equal cost: stills; short clips, which hold both kinds of latent frame; whole clips, whose
#: last frames follow on a chunk of four instead of on a first frame.
STILLS, SHORT, WHOLE = (6, 1), (2, 5), (1, 9)
#: Nats per latent number are cheap: they only keep the latents' scale near one.
KL_WEIGHT = 1e-4


def to_pixels(frames: np.ndarray) -> Tensor:
    """Frames (B, F, H, W, 3) uint8 as (B, 3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Mean absolute error of pixels and of their differences to neighbours, faces counting most.

    Args:
        decoded: (B, 3, F, H, W).
        pixels: the same shape, in [-1, 1].

    Returns:
        A scalar.
    """
    height, width = pixels.shape[-2:]
    rows = torch.linspace(-1, 1, height)[:, None] + 0.15
    columns = torch.linspace(-1, 1, width)[None]
    weight = 0.6 + 1.4 * torch.exp(-(rows**2 + columns**2) / 0.25)
    difference = decoded - pixels
    edges = difference.diff(dim=-1)[..., 1:, :].abs() + difference.diff(dim=-2)[..., 1:].abs()
    return (difference.abs() * weight).mean() + 0.5 * (edges * weight[1:, 1:]).mean()


def train_vae(folder: Path, steps: int, *, lr: float = 1e-3, seed: int = 0, people: int = 2000) -> None:
    """Train, or go on from the last state in the folder.

    Args:
        folder: working folder; the VAE comes out as `vae/`.
        steps: of the whole training.
        lr: peak learning rate.
        seed: of weights and batches.
        people: how many are drawn.
    """
    rank, world = join_processes()
    torch.manual_seed(seed)
    rendered = render_people(folder / "people", 0, people)
    vae = build_vae()
    optimiser = Optimiser([vae], lr, plain=("conv_in", "conv_out"))
    state = folder / "vae-state.pt"
    start = 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        vae.load_state_dict(saved["vae"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    losses: dict[str, list[float]] = {"still": [], "clip": []}
    began = time.monotonic()
    for step in range(start, steps):
        kind, loss = _one_step(vae, rendered, np.random.default_rng([seed, step, rank]), step, steps)
        loss.backward()
        norm = optimiser.step(trapezoid(step, steps))
        losses[kind].append(loss.item())
        if rank == 0 and (step + 1) % 50 == 0:
            means = {
                name: round(float(np.mean(values[-25:])), 4) for name, values in losses.items() if values
            }
            line = {"step": step + 1, "s": round(time.monotonic() - began), "norm": round(norm, 3), **means}
            print(json.dumps(line), flush=True)
        if rank == 0 and ((step + 1) % 250 == 0 or step + 1 == steps):
            partial = state.with_suffix(".partial")
            saved = {"vae": vae.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(saved, partial)
            partial.replace(state)
    if rank == 0:
        measure_statistics(vae, rendered, seed)
        vae.save_pretrained(folder / "vae")


def _one_step(
    vae: AutoencoderKLWan, rendered: Rendered, rng: np.random.Generator, step: int, steps: int
) -> tuple[str, Tensor]:
    """One batch's loss: stills alone at first, then clips in four steps of five."""
    kind = STILLS if step < 0.15 * steps else (STILLS, SHORT, WHOLE, SHORT, WHOLE)[step % 5]
    size, num_frames = kind
    people = rng.integers(len(rendered.clips), size=size)
    if kind is STILLS:
        chosen = [rendered.stills[person, rng.integers(rendered.stills.shape[1])][None] for person in people]
    else:
        chosen = [rendered.clips[person, rng.integers(rendered.clips.shape[1])] for person in people]
        start = int(rng.integers(len(chosen[0]) - num_frames + 1))
        chosen = [frames[start : start + num_frames] for frames in chosen]
    pixels = to_pixels(np.stack(chosen))
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.sample(), return_dict=False)[0]
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    loss = reconstruction_loss(decoded.float(), pixels) + KL_WEIGHT * kl
    return ("still" if kind is STILLS else "clip"), loss


@torch.no_grad()
def measure_statistics(vae: AutoencoderKLWan, rendered: Rendered, seed: int) -> None:
    """Write mean and standard deviation of each latent channel into the VAE's config."""
    rng = np.random.default_rng([seed, 17])
    people = rng.integers(len(rendered.clips), size=96)
    latents = [vae.encode(to_pixels(rendered.clips[person, :1])).latent_dist.mode() for person in people]
    values = torch.cat(latents).transpose(0, 1).flatten(1)
    vae.register_to_config(latents_mean=values.mean(1).tolist(), latents_std=values.std(1).tolist())
