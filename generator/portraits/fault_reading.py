"""Read planted faults off a video of the drawn world, with the oracle and off the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch.nn import functional

from generator.portraits.blur import blur
from generator.portraits.oracle import (
    PERSON_VARIANCE,
    Reading,
    controllability_log_likelihood,
    merge,
)
from generator.portraits.planted_faults import SOFTNESS, PlantedFault, beautify
from generator.portraits.world import CHOICES, CONTINUOUS, Identity

#: The state of the element `action` that moves nothing.
STILL = "holding still"
#: Means of the numbers of an identity over all people.
_ANYBODY = np.concatenate(
    [*(np.full(count, 1 / count) for count in CHOICES.values()), np.full(len(CONTINUOUS), 0.5)]
)
#: Share of its contrast between neighbours that a clip loses by `SOFTNESS`; a soft one has less to lose.
#: Through the shipped VAE, 14 right clips have 0.50 to 0.77, and soft ones 0.39 to 0.60, half of them below
#: 0.44.
SHARP = 0.5
#: Pixels of a patch, and the motion below which nothing moves: through the shipped VAE, 8 drawn clips without
#: an action have 3.1 at most, and 40 with one 10 at least.
PATCH, STILLNESS = 8, 6.0


def read_faults(
    reading: Reading,
    frames: np.ndarray,
    *,
    references: Sequence[Reading],
    primary: Mapping[str, str],
    expected: Mapping[str, str],
    changed: Sequence[str],
) -> dict[PlantedFault, bool]:
    """Which faults a video shows; of one that could not be seen in it, nothing is said.

    Args:
        reading: of the video.
        frames: of the video, (F, H, W, 3) uint8.
        references: of the person, at least one.
        primary: state of each element that the primary reference shows.
        expected: state of each element that the video should show.
        changed: the elements of those that the prompt changes.

    Returns:
        No `CLAIM` where nothing was to change, and no `FROZEN` where nothing was to move.

    Raises:
        ValueError: no reference, or an unknown element or state.
    """
    face = whose_face(reading, references)
    faults = {fault: face is fault for fault in (PlantedFault.FILTER, PlantedFault.STRANGER)}
    faults[PlantedFault.SOFT] = sharpness(frames) < SHARP
    differs = [element for element in changed if primary[element] != expected[element]]
    if differs:
        as_before, asked = ({e: states[e] for e in differs} for states in (primary, expected))
        faults[PlantedFault.CLAIM] = controllability_log_likelihood(
            reading, as_before
        ) > controllability_log_likelihood(reading, asked)
    if expected.get("action", STILL) != STILL:
        faults[PlantedFault.FROZEN] = motion(frames) < STILLNESS
    return faults


def whose_face(reading: Reading, references: Sequence[Reading]) -> PlantedFault | None:
    """The likeliest of three: the references' person (None), that person through the filter, or anybody.

    All three are Gaussians about the reading, with their normalising terms, and equally likely beforehand.
    """
    merged = merge(references)
    filtered = beautify(identity_of(merged.identity)).vector()
    own = 1 / reading.certainty
    known = own + 1 / merged.certainty
    likelihoods = {
        None: _gaussian(reading.identity - merged.identity, known),
        PlantedFault.FILTER: _gaussian(reading.identity - filtered, known),
        PlantedFault.STRANGER: _gaussian(reading.identity - _ANYBODY, own + PERSON_VARIANCE),
    }
    return max(likelihoods, key=likelihoods.__getitem__)


def _gaussian(difference: np.ndarray, variance: np.ndarray) -> float:
    return float(-0.5 * (difference**2 / variance + np.log(variance)).sum())


def identity_of(vector: np.ndarray) -> Identity:
    """The person whose `Identity.vector()` is nearest."""
    values: dict[str, int | float] = {}
    start = 0
    for name, count in CHOICES.items():
        values[name] = int(vector[start : start + count].argmax())
        start += count
    values |= {name: float(np.clip(vector[start + i], 0, 1)) for i, name in enumerate(CONTINUOUS)}
    return Identity(**{item.name: values[item.name] for item in fields(Identity)})  # type: ignore[arg-type]


def sharpness(frames: np.ndarray) -> float:
    """Share of the contrast between neighbouring pixels that a blur by `SOFTNESS` takes away, in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    before, after = _contrast(pixels), _contrast(blur(pixels, SOFTNESS))
    return 1 - after / before if before else 0.0


def motion(frames: np.ndarray) -> float:
    """How far a twentieth of the picture is from the first frame at some moment, in [0, 255].

    Patches of 8 x 8 pixels are compared: of single pixels a codec, or a VAE, moves more than a waving hand.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    patches = functional.avg_pool2d(pixels, min(PATCH, *pixels.shape[2:]))
    moved = (patches - patches[:1]).abs().mean(dim=1).flatten(1)
    return float(moved.quantile(0.95, dim=1).max())


def _contrast(pixels: torch.Tensor) -> float:
    down, right = pixels.diff(dim=-2), pixels.diff(dim=-1)
    return float((down.square().mean() + right.square().mean()).sqrt())
