"""What a drawn person's folder holds: several clips, photos and half-body portraits, with the truth.

One recipe serves both the training of the shipped checkpoint and the folders that the demo imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from generator.portraits.render import render_clip
from generator.portraits.world import Identity, change_elements, draw_elements
from generator.records import ReferenceKind

#: Frames of every clip: 4k + 1.
NUM_FRAMES = 9
#: Height and width in pixels.
SIZE = 64
#: Items of one person: clips seen from the front, clips from any side, photos, half-body portraits.
FRONT_CLIPS, SIDE_CLIPS, PHOTOS, HALF_BODIES = 4, 2, 3, 2


@dataclass(frozen=True)
class Item:
    """One clip or still of a person, before it is drawn."""

    kind: ReferenceKind
    elements: Mapping[str, str]  # a state for each of the seven elements
    yaw: float | None  # where the face looks at first, radians; None: near the front
    seed: int  # of the remaining chance

    @property
    def num_frames(self) -> int:
        """1 for stills."""
        return NUM_FRAMES if self.kind is ReferenceKind.CLIP else 1

    def render(self, identity: Identity, size: int = SIZE) -> np.ndarray:
        """Draw it: (F, H, W, 3) uint8."""
        return render_clip(
            identity, self.elements, num_frames=self.num_frames, size=size, seed=self.seed, yaw=self.yaw
        )


def plan_person(seed: int) -> tuple[Item, ...]:
    """What is filmed and photographed of one person.

    A person keeps a base look, from which each item changes a share of the elements; the share differs
    by person, so that between two items of one person anything from nothing to everything changes.

    Args:
        seed: the person's; equal seeds give equal items.

    Returns:
        Front clips, side clips, photos, half-body portraits, in this order.
    """
    rng = np.random.default_rng([seed, 13])
    base = draw_elements(rng)
    share = float(rng.choice([0.1, 0.25, 0.5]))
    items = []
    kinds = [ReferenceKind.CLIP] * (FRONT_CLIPS + SIDE_CLIPS)
    kinds += [ReferenceKind.PHOTO] * PHOTOS + [ReferenceKind.HALF_BODY] * HALF_BODIES
    for index, kind in enumerate(kinds):
        elements = change_elements(base, share, rng)
        yaw: float | None = float(rng.uniform(-0.95, 0.95))
        if kind is ReferenceKind.CLIP:
            yaw = None if index < FRONT_CLIPS else yaw
        else:
            elements["action"] = "holding still"
            if kind is ReferenceKind.HALF_BODY:
                elements["camera_shot"] = "wide shot"
            elif elements["camera_shot"] == "wide shot":
                elements["camera_shot"] = str(rng.choice(["close-up", "medium shot"]))
        items.append(Item(kind, elements, yaw, int(rng.integers(2**31))))
    return tuple(items)
