"""Train the tiny transformer and its text encoder on cached latents of drawn people.

Rectified flow on the target's latents alone; references of mixed kind and number, primary first; the prompt
says what changes from the primary; references and prompt nulled together in a tenth of the steps.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from generator.model.references import empty_reference, encode
from generator.model.tiny import (
    FLOW_SHIFT,
    MAX_TOKENS,
    build_text_encoder,
    build_tokenizer,
    build_transformer,
)
from generator.model.transformer import AnyIDTransformer
from generator.model.vae import AutoencoderKLWan
from generator.portraits.people import FRONT_CLIPS, SIZE
from generator.portraits.train.data import Rendered, render_people
from generator.portraits.train.optimiser import Optimiser, join_processes, trapezoid
from generator.portraits.train.vae import to_pixels
from generator.portraits.world import ELEMENT_STATES, phrase_change
from generator.records import ELEMENTS

#: Which of a person's items are encoded: clips, of which the first ones are seen from the front and are
#: targets, and stills.
TARGETS, CLIPS, STILLS = 3, 4, 4
EMPTY_SHARE = 0.1
#: How often 1 to 5 references are shown, and how many of them are clips: fewer tokens, more steps an hour.
_COUNT_SHARES, _CLIP_SHARE = (0.2, 0.2, 0.25, 0.25, 0.1), 0.35
EMA = 0.998


@dataclass(frozen=True)
class Latents:
    """Encoded people.

    Attributes:
        clips: (P, CLIPS, C, 3, h, w) float16, normalised; the first `TARGETS` are from the front.
        stills: (P, STILLS, C, 1, h, w) float16.
        states: (P, CLIPS + STILLS, 7) int64.
        empty: (1, C, 1, h, w) float32, the zero-pixel latent.
    """

    clips: Tensor
    stills: Tensor
    states: Tensor
    empty: Tensor


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        clean: (B, C, 3, h, w) the targets.
        references: (B, C, R, h, w).
        prompts: B differential prompts.
    """

    clean: Tensor
    references: Tensor
    prompts: list[str]


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Logit-normal times with the sampler's shift, in (0, 1)."""
    plain = torch.randn(count, generator=generator).sigmoid()
    return FLOW_SHIFT * plain / (1 + (FLOW_SHIFT - 1) * plain)


def differential_prompt(primary: Sequence[int], target: Sequence[int], rng: np.random.Generator) -> str:
    """Sentences for the elements whose state differs, in the paper's order; empty when none does.

    Args:
        primary: (7,) state of each element in the primary reference.
        target: (7,) state of each element in the target.
        rng: picks phrasings.
    """
    changed = [
        phrase_change(element, ELEMENT_STATES[element][after], rng)
        for element, before, after in zip(ELEMENTS, primary, target, strict=True)
        if before != after
    ]
    return " ".join(changed)


def draw_batch(latents: Latents, size: int, rng: np.random.Generator) -> Batch:
    """Instances that share how many clips and stills they refer to, in one order.

    Args:
        latents: of the people.
        size: B.
        rng: source of chance.

    Returns:
        The batch, not nulled.
    """
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
        references.append(torch.cat([source[moving][index] for moving, index in items], dim=1))
        clean.append(latents.clips[person, target])
        moving, index = items[0]
        primary = latents.states[person, index if moving else CLIPS + index]
        prompts.append(differential_prompt(primary.tolist(), latents.states[person, target].tolist(), rng))
    return Batch(torch.stack(clean).float(), torch.stack(references).float(), prompts)


class Conditioned(nn.Module):
    """Transformer and text encoder, trained together."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.transformer: AnyIDTransformer = build_transformer()
        self.text_encoder = build_text_encoder()
        self.tokenizer = build_tokenizer()

    def embed(self, prompts: list[str]) -> Tensor:
        """(B, 64, D) as the pipeline embeds them: zeros behind the last token."""
        tokens = self.tokenizer(
            prompts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        hidden = self.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        hidden = hidden * tokens.attention_mask[..., None]
        return functional.pad(hidden, (0, 0, 0, MAX_TOKENS - hidden.shape[1]))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of the velocity noise - clean, over the target alone."""
        noise = torch.randn(batch.clean.shape, generator=generator)
        times = draw_times(len(noise), generator)
        share = times.view(-1, 1, 1, 1, 1)
        noisy = (1 - share) * batch.clean + share * noise
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.transformer(
                noisy, 1000 * times, self.embed(batch.prompts), batch.references
            ).sample
        return functional.mse_loss(predicted.float(), noise - batch.clean)


def train_transformer(
    folder: Path, steps: int, *, lr: float = 1.5e-3, seed: int = 2, people: int = 1500, batch_size: int = 32
) -> None:
    """Train, or go on from the last state; averaged weights come out as `transformer/` and `text_encoder/`.

    Args:
        folder: working folder with the people and `vae/`.
        steps: of the whole training.
        lr: peak learning rate.
        seed: of weights and batches.
        people: how many of the drawn people are encoded.
        batch_size: over all processes.
    """
    rank, world = join_processes()
    torch.manual_seed(seed)
    latents = cache_latents(folder, people, rank, world)
    model = Conditioned()
    # On a CPU the backward pass of short bf16 sequences is half as fast through the fused kernel.
    model.transformer.set_attention_backend("_native_math")
    average = copy.deepcopy(model).requires_grad_(False)
    plain = (
        "patch_embedding",
        "proj_out",
        "condition_embedder",
        "shared",
        "embed_tokens",
        "relative_attention",
    )
    optimiser = Optimiser([model], lr, plain=plain)
    state, start = folder / "transformer-state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    losses, began = [], time.monotonic()
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step, rank])
        batch = draw_batch(latents, batch_size // world, rng)
        if np.random.default_rng([seed, step]).random() < EMPTY_SHARE:
            empty = latents.empty.expand(len(batch.clean), -1, -1, -1, -1)
            batch = Batch(batch.clean, empty, [""] * len(batch.clean))
        loss = model.loss(batch, torch.Generator().manual_seed(int(rng.integers(2**62))))
        loss.backward()
        norm = optimiser.step(trapezoid(step, steps, warmup=100))
        _follow(average, model, min(EMA, (step + 1) / (step + 10)))
        losses.append(loss.item())
        if rank == 0 and (step + 1) % 50 == 0:
            line = {
                "step": step + 1,
                "s": round(time.monotonic() - began),
                "loss": round(np.mean(losses[-50:]), 4),
            }
            print(json.dumps({**line, "norm": round(norm, 3)}), flush=True)
        if rank == 0 and ((step + 1) % 200 == 0 or step + 1 == steps):
            partial = state.with_suffix(".partial")
            saved = {"model": model.state_dict(), "average": average.state_dict()}
            torch.save({**saved, "optimiser": optimiser.state_dict(), "step": step + 1}, partial)
            partial.replace(state)
            average.transformer.save_pretrained(folder / "transformer")
            average.text_encoder.save_pretrained(folder / "text_encoder")


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights."""
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


def cache_latents(folder: Path, people: int, rank: int = 0, world: int = 1) -> Latents:
    """Encode people once, each process its share, and read all shares.

    Args:
        folder: working folder with the people and `vae/`.
        people: how many.
        rank: of this process.
        world: number of processes.
    """
    rendered = render_people(folder / "people", 0, 2000)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae").requires_grad_(False)
    place = folder / "latents"
    place.mkdir(exist_ok=True)
    if not (place / "done").is_file():
        torch.save(
            list(_encode_people(rendered, range(rank, people, world), vae)), place / f"{rank}-of-{world}.pt"
        )
        if distributed.is_initialized():
            distributed.barrier()
        if rank == 0:
            (place / "done").touch()
    shares = [torch.load(path, weights_only=True) for path in sorted(place.glob("*-of-*.pt"))]
    clips, stills, states = (
        torch.stack(parts) for parts in zip(*(p for s in shares for p in s), strict=True)
    )
    return Latents(clips, stills, states, empty_reference(vae, SIZE, SIZE))


@torch.no_grad()
def _encode_people(
    rendered: Rendered, people: Sequence[int], vae: AutoencoderKLWan
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Clips, stills and states of each person; every latent is what the pipeline would encode."""
    chosen_clips = [*range(TARGETS), FRONT_CLIPS]
    num_clips, num_stills = rendered.clips.shape[1], rendered.stills.shape[1]
    chosen_stills = list(range(num_stills - STILLS, num_stills))
    began = time.monotonic()
    for number, person in enumerate(people):
        with torch.autocast("cpu", torch.bfloat16):
            clips = encode(to_pixels(rendered.clips[person][chosen_clips]), vae)
            stills = encode(to_pixels(rendered.stills[person][chosen_stills][:, None]), vae)
        rows = [*chosen_clips, *(num_clips + index for index in chosen_stills)]
        yield clips.half(), stills.half(), torch.from_numpy(rendered.states[person][rows])
        if (number + 1) % 100 == 0:
            print(json.dumps({"encoded": number + 1, "s": round(time.monotonic() - began)}), flush=True)
