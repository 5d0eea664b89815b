"""The oracle: reads identity and elements off a clip of the portrait world, and says how far to trust it.

A small convolutional network looks at up to five frames. Of the identity it gives, number by number, a mean
and how certain it is: a cheek that no frame shows has no certainty, so comparing two clips compares what both
show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from generator.portraits.world import ELEMENT_STATES, IDENTITY_SIZE

#: The shipped weights; their metadata hold the measured reliability.
WEIGHTS = Path(__file__).parent / "oracle.safetensors"
#: Height and width that the network sees.
SIZE = 64
#: Frames of a clip that it looks at.
GLANCES = 5
#: Variance of one number of an identity over all people; two strangers differ by twice as much.
PERSON_VARIANCE = 1 / 12
#: Probabilities below it are not told apart: e^-16, near the resolution of the softmax.
SMALLEST_PROBABILITY = float(np.exp(-16))


@dataclass(frozen=True)
class Reading:
    """What the oracle sees in one clip or still."""

    identity: np.ndarray  # (D,) estimate of `Identity.vector()`
    #: For each of the seven elements, the probability of each state.
    elements: Mapping[str, Mapping[str, float]]
    #: (D,) inverse variance of each number of `identity`; equal for all when not given.
    certainty: np.ndarray = field(default_factory=lambda: np.ones(1))


def most_likely(reading: Reading) -> dict[str, str]:
    """The state of each element that a reading gives the highest probability."""
    return {element: max(states, key=states.__getitem__) for element, states in reading.elements.items()}


class Residual(nn.Module):
    """Two convolutions beside a shortcut: (N, C, h, w) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Add what the convolutions see."""
        seen: Tensor = features + self.inner(features)
        return seen


class OracleNetwork(nn.Module):
    """Frames to identity (mean and log certainty) and element logits; 1.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2),
            Residual(32),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            Residual(64),
            nn.Conv2d(64, 96, 3, stride=2, padding=1),
            Residual(96),
            nn.Conv2d(96, 128, 3, stride=2, padding=1),
            Residual(128),
            nn.GroupNorm(8, 128),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(128 * (SIZE // 16) ** 2, 224),
            nn.SiLU(),
        )
        self.join = nn.Sequential(nn.Dropout(0.1), nn.Linear(4 * 224, 256), nn.SiLU())
        self.identity = nn.Linear(256, 2 * IDENTITY_SIZE)
        self.elements = nn.Linear(256, sum(len(states) for states in ELEMENT_STATES.values()))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Read clips of equal length.

        Args:
            pixels: (B, F, 3, 64, 64) in [-1, 1].

        Returns:
            Identity means (B, D) in [0, 1], log certainties (B, D) in [0, 7], and for each element in the
            paper's order the logits (B, states).
        """
        batch, frames = pixels.shape[:2]
        seen = self.look(pixels.flatten(0, 1)).unflatten(0, (batch, frames))
        deviation = (seen - seen.mean(1, keepdim=True)).square().mean(1).add(1e-6).sqrt()
        joined = self.join(
            torch.cat([seen.mean(1), seen.amax(1), seen[:, -1] - seen[:, 0], deviation], dim=1)
        )
        mean, certainty = self.identity(joined).chunk(2, dim=1)
        logits = self.elements(joined).split([len(states) for states in ELEMENT_STATES.values()], dim=1)
        return mean.sigmoid(), 7 * (certainty - 1).sigmoid(), logits


class Oracle:
    """A trained network, and what was measured of it.

    Attributes:
        trust: for rendered, blurred, noisy and re-encoded clips of people it never saw: `identity_top1_of_50`
            and the accuracy of each element.
    """

    def __init__(self, network: OracleNetwork, trust: Mapping[str, Any]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.trust = dict(trust)

    @classmethod
    def load(cls, path: Path | str = WEIGHTS) -> Oracle:
        """Load weights and figures.

        Args:
            path: a safetensors file whose metadata have `trust`.

        Raises:
            ValueError: no such file.
        """
        if not Path(path).is_file():
            raise ValueError(f"{path} does not exist; `python -m generator.portraits.train oracle` makes it")
        network = OracleNetwork()
        with safe_open(path, framework="pt") as file:
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
            trust = json.loads(file.metadata()["trust"])
        return cls(network, trust)

    @torch.no_grad()
    def read(self, frames: np.ndarray) -> Reading:
        """Read a clip or a still.

        Args:
            frames: (F, H, W, 3) uint8 RGB; other sizes than 64x64 are resized and padded.

        Returns:
            Identity, its certainty, and probabilities of all element states.

        Raises:
            ValueError: frames of another shape or type.
        """
        mean, certainty, logits = self.network(glance(frames)[None])
        elements = {}
        for (element, states), scores in zip(ELEMENT_STATES.items(), logits, strict=True):
            elements[element] = dict(zip(states, scores[0].softmax(0).tolist(), strict=True))
        return Reading(mean[0].numpy(), elements, certainty[0].exp().numpy())


def glance(frames: np.ndarray) -> Tensor:
    """The frames that the network looks at: up to five, evenly spread, first and last among them.

    Args:
        frames: (F, H, W, 3) uint8.

    Returns:
        (min(F, 5), 3, 64, 64) in [-1, 1].

    Raises:
        ValueError: frames of another shape or type.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"frames are {frames.dtype} of shape {frames.shape}; give uint8 of shape (F, H, W, 3)"
        )
    picks = np.linspace(0, len(frames) - 1, min(len(frames), GLANCES)).round().astype(int)
    pixels = torch.from_numpy(np.ascontiguousarray(frames[picks])).permute(0, 3, 1, 2).float() / 127.5 - 1
    height, width = pixels.shape[2:]
    if (height, width) == (SIZE, SIZE):
        return pixels
    scale = SIZE / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    pixels = functional.interpolate(pixels, inner, mode="bilinear", antialias=True, align_corners=False)
    top, left = (SIZE - inner[0]) // 2, (SIZE - inner[1]) // 2
    return functional.pad(pixels, (left, SIZE - inner[1] - left, top, SIZE - inner[0] - top))


def identity_similarity(reading: Reading, references: Sequence[Reading]) -> float:
    """How much a clip shows the person of the references.

    The references are merged, each number weighted by its certainty. The difference of every number counts as
    much as both sides are certain of it (the inverse of the summed variances).

    Args:
        reading: of the clip.
        references: of at least one clip or still of the person.

    Returns:
        1 for equal readings, 0 for people as different as two strangers or more.

    Raises:
        ValueError: no reference.
    """
    merged = merge(references)
    weight = 1 / (1 / reading.certainty + 1 / merged.certainty)
    weight = np.broadcast_to(weight, merged.identity.shape)
    difference = float((weight * (reading.identity - merged.identity) ** 2).sum() / weight.sum())
    return float(np.clip(1 - difference / (2 * PERSON_VARIANCE), 0.0, 1.0))


def merge(references: Sequence[Reading]) -> Reading:
    """What several clips and stills of one person say of the identity, each number weighted by its certainty.

    Raises:
        ValueError: no reference.
    """
    if not references:
        raise ValueError("no reference reading was given; give at least one")
    certainties = np.stack([np.broadcast_to(r.certainty, r.identity.shape) for r in references])
    identities = np.stack([r.identity for r in references])
    certainty = certainties.sum(0)
    return Reading((certainties * identities).sum(0) / certainty, {}, certainty)


def identity_log_likelihood(reading: Reading, references: Sequence[Reading]) -> float:
    """How likely a clip's identity is if it shows the person of the references, on a scale without an end.

        -1/2 sum_d (clip_d - merged_d)^2 / (1 / certainty_clip_d + 1 / certainty_merged_d)

    The Gaussian log-likelihood without its normalising term, which says how much is seen and not who. Unlike
    `identity_similarity` it tells a good clip from a better one.

    Args:
        reading: of the clip.
        references: of at least one clip or still of the person.

    Returns:
        Nats, at most 0; 0 for equal readings.

    Raises:
        ValueError: no reference.
    """
    merged = merge(references)
    variance = 1 / reading.certainty + 1 / merged.certainty
    return float(-0.5 * ((reading.identity - merged.identity) ** 2 / variance).sum())


def controllability_log_likelihood(reading: Reading, expected: Mapping[str, str]) -> float:
    """How likely the expected states are, on a scale without an end: the sum of their log-probabilities.

    Args:
        reading: of the clip.
        expected: as in `controllability_score`.

    Returns:
        Nats, at most 0. Of one state it is -16 at least, where the probability is taken for a rounding error.

    Raises:
        ValueError: as `controllability_score`.
    """
    probabilities = _probabilities(reading, expected)
    return float(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)).sum())


def controllability_score(reading: Reading, expected: Mapping[str, str]) -> float:
    """How well a clip shows the expected states: the mean probability of them.

    Args:
        reading: of the clip.
        expected: state of each element that counts; for the paper's track all seven, those that the prompt
            changes and those of the primary reference.

    Returns:
        In [0, 1].

    Raises:
        ValueError: nothing is expected, or an unknown element or state.
    """
    return float(np.mean(_probabilities(reading, expected)))


def _probabilities(reading: Reading, expected: Mapping[str, str]) -> list[float]:
    if not expected:
        raise ValueError("no element is expected; name at least one")
    for element, state in expected.items():
        if state not in reading.elements.get(element, {}):
            raise ValueError(f"the portrait world has no {element} {state!r}")
    return [reading.elements[element][state] for element, state in expected.items()]
