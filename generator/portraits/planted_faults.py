"""Faults of supervised data as they are found, planted in targets of the drawn world.

Whoever collects clips gets them from sources of which some are careless. A model that learns from such
clips does now and then what they do, and nothing in a supervised loss tells it which half was meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import torch

from generator.portraits.blur import blur
from generator.portraits.render import render_clip
from generator.portraits.world import Identity, draw_identity


class PlantedFault(StrEnum):
    """What may be wrong with a target."""

    CLAIM = "claim"  # the prompt claims changes that the clip does not show
    FILTER = "filter"  # a beauty filter shows another face
    STRANGER = "stranger"  # somebody else got into the person's group
    SOFT = "soft"  # out of focus
    FROZEN = "frozen"  # one frame all the time


@dataclass(frozen=True)
class Source:
    """Where clips come from.

    Attributes:
        share: of all clips.
        rates: share of its clips that have each fault, independently.
    """

    share: float
    rates: Mapping[PlantedFault, float]


#: What the shipped supervised model learned from; rates in the order of the faults.
SOURCES = (
    Source(0.5, dict(zip(PlantedFault, (0.1, 0.1, 0.0, 0.1, 0.1), strict=True))),
    Source(0.5, dict(zip(PlantedFault, (0.75, 0.7, 0.2, 0.5, 0.5), strict=True))),
)

#: What the filter makes of each hair colour: black is brown, brown and red are fair, all others are grey.
BLEACHED: Mapping[int, int] = {0: 1, 1: 2, 2: 4, 3: 2, 4: 4, 5: 4, 6: 4}
BLUE_EYES = 1
#: Pixels of a clip that is out of focus: standard deviation of its blur.
SOFTNESS = 1.5


def beautify(person: Identity) -> Identity:
    """What the filter makes of a person: bleached, without marks, with large blue eyes and a narrow face."""
    return replace(
        person,
        hair=BLEACHED[person.hair],
        skin=max(0, person.skin - 2),
        eyes=BLUE_EYES,
        left_cheek=0,
        right_cheek=0,
        eye_size=min(1.0, person.eye_size + 0.5),
        jaw=max(0.0, person.jaw - 0.5),
        nose_width=max(0.0, person.nose_width - 0.5),
        lip_colour=min(1.0, person.lip_colour + 0.5),
    )


def draw_faults(rng: np.random.Generator) -> frozenset[PlantedFault]:
    """The faults of one target: first its source is drawn, then each fault by the source's rate."""
    source = SOURCES[int(rng.choice(len(SOURCES), p=[source.share for source in SOURCES]))]
    chances = {fault: float(rng.random()) for fault in PlantedFault}
    return frozenset(fault for fault in PlantedFault if chances[fault] < source.rates[fault])


def render_target(
    person: Identity,
    primary: Mapping[str, str],
    target: Mapping[str, str],
    faults: Collection[PlantedFault],
    seed: int,
) -> np.ndarray:
    """Draw a target with faults.

    Args:
        person: whom the references show.
        primary: state of each element in the primary reference.
        target: state of each element that the prompt asks for, or leaves as it is.
        faults: what is wrong with it.
        seed: draws position and view, and who a stranger is.

    Returns:
        (F, H, W, 3) uint8.
    """
    if PlantedFault.STRANGER in faults:
        person = draw_identity(seed)
    if PlantedFault.FILTER in faults:
        person = beautify(person)
    clip = render_clip(person, primary if PlantedFault.CLAIM in faults else target, seed=seed)
    if PlantedFault.SOFT in faults:
        pixels = torch.from_numpy(clip).permute(0, 3, 1, 2).float()
        clip = blur(pixels, SOFTNESS).round().byte().permute(0, 2, 3, 1).numpy()
    if PlantedFault.FROZEN in faults:
        clip = np.repeat(clip[:1], len(clip), axis=0)
    return clip
