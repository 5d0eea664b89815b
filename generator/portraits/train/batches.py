"""What the tiny transformer learns from: encoded people, and the instances that are drawn from them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, distributed

from generator.model.order import in_order
from generator.model.precision import Precision
from generator.model.references import empty_reference, encode
from generator.model.vae import AutoencoderKLWan
from generator.portraits.people import FRONT_CLIPS, SIZE
from generator.portraits.train.data import PEOPLE, Rendered, render_people
from generator.portraits.train.vae import to_pixels
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.records import ELEMENTS

#: Which of a person's items are encoded: clips, of which the first ones are seen from the front and are
#: targets, and stills.
TARGETS, CLIPS, STILLS = 3, 4, 4
#: How often 1 to 5 references are shown, and how many of them are clips: fewer tokens, more steps per hour.
_COUNT_SHARES, _CLIP_SHARE = (0.2, 0.2, 0.25, 0.25, 0.1), 0.35
#: How often a caption of the ablation names an element, so that prompts that name a few are usual to it.
_CAPTION_SHARE = 0.5

Prompts = Literal["differential", "standard"]


@dataclass(frozen=True)
class Latents:
    """Encoded people."""

    clips: Tensor  # (P, CLIPS, C, 3, h, w) float16, normalised; the first `TARGETS` are from the front
    stills: Tensor  # (P, STILLS, C, 1, h, w) float16
    states: Tensor  # (P, CLIPS + STILLS, 7) int64
    empty: Tensor  # (1, C, 1, h, w) float32, the zero-pixel latent


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    clean: Tensor  # (B, C, 3, h, w) the targets
    references: Tensor  # (B, C, R, h, w)
    prompts: list[str]  # B differential prompts


def differential_prompt(primary: Sequence[int], target: Sequence[int], rng: np.random.Generator) -> str:
    """Sentences for the elements whose state (7,) differs, in the paper's order; empty when none does."""
    changed = [
        phrase_change(element, ELEMENT_STATES[element][after], rng)
        for element, before, after in zip(ELEMENTS, primary, target, strict=True)
        if before != after
    ]
    return " ".join(changed)


def standard_prompt(target: Sequence[int], rng: np.random.Generator) -> str:
    """A caption of the target (7,) that names each element in half of the cases, whatever references show."""
    named = [
        phrase_change(element, ELEMENT_STATES[element][state], rng)
        for element, state in zip(ELEMENTS, target, strict=True)
        if rng.random() < _CAPTION_SHARE
    ]
    return " ".join(named)


def draw_batch(
    latents: Latents,
    size: int,
    rng: np.random.Generator,
    kind: Prompts = "differential",
    order: str = "primary_first",
) -> Batch:
    """Instances that share how many clips and stills they refer to, in one order; none is nulled yet."""
    count = int(rng.choice([1, 2, 3, 4, 5], p=_COUNT_SHARES))
    is_clip = rng.random(count) < _CLIP_SHARE
    while is_clip.sum() > CLIPS - 1 or (~is_clip).sum() > STILLS:
        is_clip = rng.random(count) < _CLIP_SHARE
    clean, references, prompts = [], [], []
    for person in rng.integers(len(latents.clips), size=size):
        target = int(rng.integers(TARGETS))
        clips = iter(rng.permutation([i for i in range(CLIPS) if i != target]))
        stills = iter(rng.permutation(STILLS))
        items = [(True, next(clips)) if moving else (False, next(stills)) for moving in is_clip]
        source = {True: latents.clips[person], False: latents.stills[person]}
        shown = in_order([source[moving][index] for moving, index in items], order)
        references.append(torch.cat(shown, dim=1))
        clean.append(latents.clips[person, target])
        moving, index = items[0]
        primary = latents.states[person, index if moving else CLIPS + index]
        wanted = latents.states[person, target].tolist()
        prompts.append(
            standard_prompt(wanted, rng)
            if kind == "standard"
            else differential_prompt(primary.tolist(), wanted, rng)
        )
    return Batch(torch.stack(clean).float(), torch.stack(references).float(), prompts)


def cache_latents(folder: Path, people: int, precision: Precision, rank: int = 0, world: int = 1) -> Latents:
    """Encode people once, each process its share, and read all shares.

    Args:
        folder: working folder with the people and `vae/`.
        people: how many.
        precision: of the VAE's products.
        rank: of this process.
        world: number of processes.
    """
    rendered = render_people(folder / "people", 0, PEOPLE)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae").requires_grad_(False)
    cache = folder / "latents"
    cache.mkdir(exist_ok=True)
    if not (cache / "done").is_file():
        torch.save(
            list(_encode_people(rendered, range(rank, people, world), vae, precision)),
            cache / f"{rank}-of-{world}.pt",
        )
        if distributed.is_initialized():
            distributed.barrier()
        if rank == 0:
            (cache / "done").touch()
    shares = [torch.load(path, weights_only=True) for path in sorted(cache.glob("*-of-*.pt"))]
    clips, stills, states = (
        torch.stack(parts) for parts in zip(*(p for s in shares for p in s), strict=True)
    )
    return Latents(clips, stills, states, empty_reference(vae, SIZE, SIZE))


@torch.no_grad()
def _encode_people(
    rendered: Rendered, people: Sequence[int], vae: AutoencoderKLWan, precision: Precision
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Clips, stills and states of each person; every latent is what the pipeline would encode."""
    chosen_clips = [*range(TARGETS), FRONT_CLIPS]
    num_clips, num_stills = rendered.clips.shape[1], rendered.stills.shape[1]
    chosen_stills = list(range(num_stills - STILLS, num_stills))
    began = time.monotonic()
    for number, person in enumerate(people):
        with precision.autocast():
            clips = encode(to_pixels(rendered.clips[person][chosen_clips]), vae)
            stills = encode(to_pixels(rendered.stills[person][chosen_stills][:, None]), vae)
        rows = [*chosen_clips, *(num_clips + index for index in chosen_stills)]
        yield clips.half(), stills.half(), torch.from_numpy(rendered.states[person][rows])
        if (number + 1) % 100 == 0:
            print(json.dumps({"encoded": number + 1, "s": round(time.monotonic() - began)}), flush=True)
