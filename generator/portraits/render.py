"""Draw clips of the portrait world: soft-edged shapes over a background, on a head that turns.

Everything is painted back to front, for all frames at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from generator.portraits.drawing.canvas import Array, Canvas, Plane
from generator.portraits.drawing.clothes import draw_accessories, draw_body, draw_hand
from generator.portraits.drawing.face import draw_ear, draw_face
from generator.portraits.drawing.hair import draw_hair, draw_hair_behind, draw_long_hair
from generator.portraits.drawing.head import Head, View, plan_view
from generator.portraits.drawing.places import draw_place
from generator.portraits.world import HAIR_COLOURS, Identity

#: Head radius in pixels of a 64-pixel frame, and the height of the head's centre in it.
_FRAMINGS = {"close-up": (20.5, 30.0), "medium shot": (16.0, 28.5), "wide shot": (12.0, 24.0)}


@dataclass(frozen=True)
class Framing:
    """Where the head is in every frame of a clip."""

    view: View  # where it looks
    centre: tuple[float, float]  # (x, y) of the untilted head in pixels
    radius: float  # of the head in pixels


def plan_framing(
    elements: Mapping[str, str], num_frames: int, size: int, rng: np.random.Generator, yaw: float | None
) -> Framing:
    """Place the head; `render_clip` says what the arguments are."""
    view = plan_view(elements["action"], num_frames, rng, yaw)
    radius, height = _FRAMINGS[elements["camera_shot"]]
    unit = size / 64
    centre = ((32 + rng.uniform(-1.5, 1.5)) * unit, (height + rng.uniform(-1, 1)) * unit)
    return Framing(view, centre, radius * unit)


def framing_chance(seed: int) -> np.random.Generator:
    """The source of chance of a clip, from which its framing is drawn first."""
    return np.random.default_rng([seed, 11])


def render_clip(
    identity: Identity,
    elements: Mapping[str, str],
    *,
    num_frames: int = 9,
    size: int = 64,
    seed: int = 0,
    yaw: float | None = None,
) -> Array:
    """Draw one clip, (num_frames, size, size, 3) uint8 RGB; one frame is a still.

    Args:
        identity: the person.
        elements: a state for each of the seven elements.
        num_frames: F.
        size: height and width in pixels.
        seed: draws position and view; equal seeds give equal pixels.
        yaw: where the face looks at first, radians; near the front when None.
    """
    rng = framing_chance(seed)
    framing = plan_framing(elements, num_frames, size, rng, yaw)
    view, radius = framing.view, framing.radius
    canvas = Canvas(draw_place(elements["background"], size, rng.uniform(-2, 2)), num_frames)
    body = Plane(canvas, framing.centre, radius, np.zeros(num_frames))
    head = Head(Plane(canvas, framing.centre, radius, view.roll), identity, view)
    hair = HAIR_COLOURS[identity.hair]
    draw_hair_behind(head, elements["hairstyle"], hair)
    draw_body(body, elements["clothing"], identity)
    if elements["hairstyle"] == "long hair":
        draw_long_hair(head, hair)
    ears = ((-1, identity.left_ear), (1, identity.right_ear))
    for side, ring in ears:
        draw_ear(head, side, ring, near=False)
    draw_face(head, elements["expression"])
    draw_hair(head, elements["hairstyle"], hair)
    for side, ring in ears:
        draw_ear(head, side, ring, near=True)
    draw_accessories(head, body, elements["accessories"])
    if view.wave is not None:
        draw_hand(body, view.wave, identity, size / (2 * radius))
    return canvas.pixels()
