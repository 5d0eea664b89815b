"""Train the oracle on drawn people, blurred, noisy and re-encoded, and measure how far it can be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from generator.model.precision import Precision
from generator.model.vae import AutoencoderKLWan
from generator.portraits.blur import blur
from generator.portraits.oracle import GLANCES, Oracle, OracleNetwork, identity_similarity
from generator.portraits.train.data import PEOPLE, Rendered, render_people
from generator.portraits.train.optimiser import Optimiser, trapezoid
from generator.portraits.train.progress import Log, is_checkpoint, load_state, save_state
from generator.portraits.train.vae import to_pixels
from generator.portraits.world import ELEMENT_STATES, SPLIT_SEEDS
from generator.records import ELEMENTS

Array = np.ndarray
PEOPLE_PER_STEP = 24
#: Expressions are the smallest thing to see.
ELEMENT_WEIGHTS = [0.4 if element == "expression" else 0.1 for element in ELEMENTS]
#: Largest shift, as a share of the frame, and largest change of size that a clip is shown with.
_SHIFT, _ZOOM = 0.06, 0.08


def oracle_loss(network: OracleNetwork, pixels: Tensor, identity: Tensor, states: Tensor) -> Tensor:
    """Negative log likelihood of the truth: Gaussian for the identity, categorical for the elements.

    Pixels are (B, F, 3, 64, 64), the identity (B, D) in [0, 1], states (B, 7) int64.
    """
    mean, certainty, logits = network(pixels)
    mean, certainty, logits = mean.float(), certainty.float(), [score.float() for score in logits]
    gaussian = 0.5 * (certainty.exp() * (mean - identity) ** 2 - certainty).mean()
    categorical = torch.stack(
        [functional.cross_entropy(score, states[:, i]) for i, score in enumerate(logits)]
    )
    return gaussian + categorical @ categorical.new_tensor(ELEMENT_WEIGHTS)


def move(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift and zoom each clip (B, F, 3, H, W) a little: the network is to learn what is seen, not where."""
    batch, frames = pixels.shape[:2]
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.from_numpy(rng.uniform(1 - _ZOOM, 1 + _ZOOM, batch))
    theta[:, :, 2] = torch.from_numpy(rng.uniform(-2 * _SHIFT, 2 * _SHIFT, (batch, 2)))
    flat = pixels.flatten(0, 1)
    grid = functional.affine_grid(theta.repeat_interleave(frames, 0), list(flat.shape), align_corners=False)
    moved = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return moved.view(pixels.shape)


def degrade(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, noise, or less contrast, each in some of the steps, so that weak generated clips are read too.

    Pixels are (B, F, 3, H, W) in [-1, 1].
    """
    if rng.random() < 0.4:
        pixels = blur(pixels, float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.4:
        noise = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32))
        pixels = pixels + float(rng.uniform(0.02, 0.25)) * noise
    if rng.random() < 0.3:
        pixels = pixels * float(rng.uniform(0.8, 1.1)) + float(rng.uniform(-0.1, 0.1))
    return pixels.clamp(-1, 1)


def train_oracle(
    folder: Path,
    steps: int,
    precision: Precision,
    *,
    lr: float = 1.5e-3,
    seed: int = 1,
    people: int = PEOPLE,
) -> None:
    """Train, or go on from the last state, and write `oracle.safetensors` into the working folder.

    Its reliability is measured when it is shipped.
    """
    torch.manual_seed(seed)
    rendered = render_people(folder / "people", 0, people)
    network = OracleNetwork()
    plain = ("identity", "elements", "look.0.", "inner.0.", "inner.3.")
    optimiser = Optimiser([network], lr, precision.dtype, plain=plain)
    state, start, log = folder / "oracle-state.pt", 0, Log()
    if saved := load_state(state):
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        with precision.autocast():
            loss = oracle_loss(network, *_draw_batch(rendered, rng))
        loss.backward()
        optimiser.step(trapezoid(step, steps))
        log.add(step, loss=loss.item())
        if is_checkpoint(step, steps):
            save_state(state, network=network.state_dict(), optimiser=optimiser.state_dict(), step=step + 1)
    save_oracle(network, {}, folder / "oracle.safetensors")


def save_oracle(network: OracleNetwork, trust: Mapping[str, Any], path: Path) -> None:
    """Write half-precision weights, with the measured reliability beside them in the metadata."""
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, path, metadata={"trust": json.dumps(trust)})


def _draw_batch(rendered: Rendered, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Clips in two steps of three, else stills."""
    num_clips = rendered.clips.shape[1]
    people = rng.integers(len(rendered.clips), size=PEOPLE_PER_STEP)
    if rng.random() < 2 / 3:
        items = rng.integers(num_clips, size=len(people))
        frames = [rendered.clips[p, i][:: 8 // (GLANCES - 1)] for p, i in zip(people, items, strict=True)]
    else:
        items = rng.integers(rendered.stills.shape[1], size=len(people))
        frames = [rendered.stills[p, i][None] for p, i in zip(people, items, strict=True)]
        items = items + num_clips
    pixels = degrade(move(to_pixels(np.stack(frames)).transpose(1, 2), rng), rng)
    identity = torch.from_numpy(rendered.identities[people])
    return pixels, identity, torch.from_numpy(rendered.states[people, items])


@torch.no_grad()
def measure_trust(network: OracleNetwork, folder: Path) -> dict[str, Any]:
    """For clips as drawn and degraded: `identity_top1_of_50`, and the accuracy of each element over clips.

    Nobody trained on the 50 people. A clip from the front asks; the person's other items are the gallery, as
    drawn.
    """
    held_out = render_people(folder / "people-eval", SPLIT_SEEDS["eval"] + 9_000_000, 50)
    oracle = Oracle(network, {})  # in evaluation mode: no dropout
    gallery = [[oracle.read(item) for item in _others(held_out, person)] for person in range(50)]
    trust: dict[str, Any] = {}
    for name, change in _conditions(folder).items():
        readings = [[oracle.read(change(clip)) for clip in clips[:4]] for clips in held_out.clips]
        hits = [
            int(np.argmax([identity_similarity(mine[0], theirs) for theirs in gallery])) == person
            for person, mine in enumerate(readings)
        ]
        trust[name] = {"identity_top1_of_50": float(np.mean(hits))}
        for index, element in enumerate(ELEMENTS):
            right = [
                max(r.elements[element], key=r.elements[element].__getitem__)
                == ELEMENT_STATES[element][held_out.states[person, item, index]]
                for person, mine in enumerate(readings)
                for item, r in enumerate(mine)
            ]
            trust[name][element] = round(float(np.mean(right)), 4)
    return trust


def _conditions(folder: Path) -> dict[str, Callable[[Array], Array]]:
    rng = np.random.default_rng(0)

    def add_noise(frames: Array) -> Array:
        noise = rng.standard_normal((len(frames), 3, *frames.shape[1:3]), dtype=np.float32)
        return _to_frames(_to_batch(frames) + 0.2 * torch.from_numpy(noise))

    conditions: dict[str, Callable[[Array], Array]] = {
        "rendered": lambda frames: frames,
        "blurred": lambda frames: _to_frames(blur(_to_batch(frames), 1.2)),
        "noisy": add_noise,
    }
    if (folder / "vae").is_dir():
        vae = AutoencoderKLWan.from_pretrained(folder / "vae")
        conditions["reencoded"] = lambda frames: _reencode(frames, vae)
    return conditions


def _others(rendered: Rendered, person: int) -> list[Array]:
    return [*rendered.clips[person, 1:], *(still[None] for still in rendered.stills[person])]


def _to_batch(frames: Array) -> Tensor:
    return to_pixels(frames[None])[0].transpose(0, 1)


def _to_frames(pixels: Tensor) -> Array:
    frames: Array = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return frames


def _reencode(frames: Array, vae: AutoencoderKLWan) -> Array:
    decoded = vae.decode(vae.encode(to_pixels(frames[None])).latent_dist.mode(), return_dict=False)[0]
    return _to_frames(decoded[0].transpose(0, 1))
