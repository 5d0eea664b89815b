"""Sampling from several references as one would first write it on Diffusers' own classes.

Nothing of ours but the weights and the way a picture is fitted to a size:

- `WanTransformer3DModel` with references and noisy target in one tensor and a timestep for every token;
- one video at a time, each encoding its references and its prompt;
- guidance condition by condition, as InstructPix2Pix writes it and Phantom uses it: start from nothing, add
  one condition after another, and weigh each step. With conditions c_1 ... c_n

      v = v(none) + g_1 (v(c_1) - v(none)) + ... + g_n (v(c_1 ... c_n) - v(c_1 ... c_{n-1}))

  which takes n + 1 passes. With every g_k = g the passes between the first and the last cancel and AnyID's
  unified empty condition remains: v(none) + g (v(all) - v(none)). So at one common scale both must make the
  same video, and the passes between are what this scheme costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import WanPipeline
from torch import Tensor

from generator.model.pictures import VisualReference
from generator.model.references import empty_reference, encode_references


@dataclass(frozen=True)
class Sampler:
    """The settings of a call, and what the checkpoint records.

    Attributes:
        prompt_tokens: a prompt is padded to so many.
        position: on which side of the target the references stand, `before` or `after`.
        same_empty: whether the empty condition has as many zero-pixel latents as there are references.
        by_reference: whether every reference is a condition of its own, or all together are one.
    """

    height: int
    width: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    prompt_tokens: int
    position: str
    same_empty: bool = False
    by_reference: bool = False


def load(folder: str | Path) -> WanPipeline:
    """Diffusers' own pipeline, with its own transformer."""
    pipeline = WanPipeline.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample_videos(
    pipeline: WanPipeline,
    sampler: Sampler,
    references: Sequence[VisualReference],
    prompt: str,
    seeds: Sequence[int],
) -> tuple[Tensor, np.ndarray]:
    """Videos of one person, one after the other.

    Returns:
        Latents (B, C, F, h, w), normalised, and frames (B, F, H, W, 3) uint8.
    """
    latents = [sample_latents(pipeline, sampler, references, prompt, seed) for seed in seeds]
    return torch.cat(latents), np.concatenate([decode(pipeline, one) for one in latents])


@torch.no_grad()
def sample_latents(
    pipeline: WanPipeline, sampler: Sampler, references: Sequence[VisualReference], prompt: str, seed: int
) -> Tensor:
    """One video's latents, (1, C, F, h, w)."""
    conditions = list(_conditions(pipeline, sampler, references, prompt))
    channels = pipeline.transformer.config.in_channels
    latents = pipeline.prepare_latents(
        1,
        channels,
        sampler.height,
        sampler.width,
        sampler.num_frames,
        torch.float32,
        torch.device("cpu"),
        torch.Generator().manual_seed(seed),
        None,
    )
    pipeline.scheduler.set_timesteps(sampler.num_inference_steps)
    for timestep in pipeline.scheduler.timesteps:
        steps = [_predict(pipeline, sampler, latents, timestep, *condition) for condition in conditions]
        velocity = steps[0]
        for before, after in zip(steps, steps[1:], strict=False):
            velocity = velocity + sampler.guidance_scale * (after - before)
        latents = pipeline.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    return latents


@torch.no_grad()
def decode(pipeline: WanPipeline, latents: Tensor) -> np.ndarray:
    """One video's frames, (1, F, H, W, 3) uint8."""
    config = pipeline.vae.config
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std)
    )
    pixels = pipeline.vae.decode(latents * std + mean, return_dict=False)[0].permute(0, 2, 3, 4, 1)
    frames: np.ndarray = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    return frames


def _conditions(
    pipeline: WanPipeline, sampler: Sampler, references: Sequence[VisualReference], prompt: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """References and prompt of every pass: nothing, then one condition more each time, the prompt last."""
    size = (sampler.height, sampler.width)
    embeds, empty = pipeline.encode_prompt(
        prompt, "", do_classifier_free_guidance=True, max_sequence_length=sampler.prompt_tokens
    )
    shown = encode_references(references, pipeline.vae, *size)
    count = shown.shape[2] if sampler.same_empty else 1
    yield empty_reference(pipeline.vae, *size, count), empty
    for number in range(1, len(references)) if sampler.by_reference else ():
        yield encode_references(references[:number], pipeline.vae, *size), empty
    yield shown, empty
    yield shown, embeds


def _predict(
    pipeline: WanPipeline,
    sampler: Sampler,
    latents: Tensor,
    timestep: Tensor,
    references: Tensor,
    prompt_embeds: Tensor,
) -> Tensor:
    """The target's velocity, with a timestep for every token."""
    _, patch_height, patch_width = pipeline.transformer.config.patch_size
    grid = (latents.shape[3] // patch_height) * (latents.shape[4] // patch_width)
    times = timestep.float().expand(1, latents.shape[2] * grid)
    zeros = torch.zeros(1, references.shape[2] * grid)
    before = sampler.position == "before"
    sequence = torch.cat([references, latents] if before else [latents, references], dim=2)
    per_token = torch.cat([zeros, times] if before else [times, zeros], dim=1)
    velocity = pipeline.transformer(sequence, per_token, prompt_embeds, return_dict=False)[0]
    first = references.shape[2] if before else 0
    return velocity[:, :, first : first + latents.shape[2]]
