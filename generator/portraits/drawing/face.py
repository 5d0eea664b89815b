"""Faces: features, marks, and what an expression does to them."""

from __future__ import annotations

import numpy as np

from generator.portraits.drawing.canvas import Array, Colour, by_frame, shade
from generator.portraits.drawing.head import Head
from generator.portraits.world import (
    CHEEK_COLOURS,
    CHEEK_MARKS,
    EAR_COLOURS,
    EYE_COLOURS,
    FACIAL_HAIR,
    HAIR_COLOURS,
)

_TEAR = (120, 210, 255)
_LIPS = (np.array([176, 70, 70], np.float32), np.array([214, 30, 74], np.float32))


def draw_face(head: Head, expression: str) -> None:
    """The face with its marks, and the features that show the expression."""
    plane, identity = head.plane, head.identity
    inside, side, height, front = head.surface(1.0)
    light = 1.04 - 0.16 * np.clip(plane.x * 0.5 + plane.y * 0.35, -0.5, 1.0)
    plane.paint(plane.edge(inside), shade(head.skin, light))
    if FACIAL_HAIR[identity.facial_hair] == "beard":
        region = np.minimum(-0.3 - height, front + 0.15) * 0.9
        mouth = 0.13 - np.hypot(side * 0.42, height + 0.52)
        cover = plane.edge(inside) * plane.edge(np.minimum(region, -mouth))
        plane.paint(cover, HAIR_COLOURS[identity.hair] * 0.85)
    for longitude, mark in ((-80.0, identity.left_cheek), (80.0, identity.right_cheek)):
        _draw_mark(head, longitude, mark)
    _draw_eyes(head, expression)
    _draw_mouth(head, expression)
    if FACIAL_HAIR[identity.facial_hair] == "moustache":
        x, y, seen, shown = head.spot(0, -26)
        plane.ellipse(x, y, 0.36 * seen, 0.11, HAIR_COLOURS[identity.hair] * 0.85, shown=shown)
    _draw_nose(head)


def _draw_nose(head: Head) -> None:
    """A ridge that leans where the head looks, and its tip."""
    plane, identity = head.plane, head.identity
    x, y, _, _ = head.spot(0, -8)
    length, width = 0.16 + 0.16 * identity.nose_length, 0.07 + 0.1 * identity.nose_width
    lean = 0.16 * np.sin(head.view.yaw)
    plane.ellipse(x + lean, y - 0.06, width * 0.6, length, head.skin * 0.86)
    plane.ellipse(x + lean, y + length - 0.1, width * 1.2, 0.09, head.skin * 0.74)


def draw_ear(head: Head, side: int, ring: int, *, near: bool) -> None:
    """One ear at the viewer's left (-1) or right (+1), with its ring, an index into `EAR_RINGS`.

    With `near` it is painted only as far as it lies on this side of the head (over the hair), else as far as
    it peeps out from behind.
    """
    x, y, _, _ = head.spot(90.0 * side, -2)
    toward = -side * np.sin(head.view.yaw)
    shown = np.clip(toward * 8 - 0.8, 0, 1) if near else np.clip(toward * 5 + 0.9, 0, 1)
    across = x * 1.03
    head.plane.ellipse(across, y, 0.16, 0.24, head.skin * 0.86, shown=shown)
    if ring:
        head.plane.ellipse(across, y + 0.36, 0.15, 0.2, EAR_COLOURS[ring], shown=shown)


def _draw_mark(head: Head, longitude: float, mark: int) -> None:
    """What one cheek bears."""
    if not mark:
        return
    x, y, seen, shown = head.spot(longitude, -14)
    colour = CHEEK_COLOURS[mark]
    if CHEEK_MARKS[mark] == "plaster":
        head.plane.ellipse(x, y, 0.3 * seen, 0.12, colour, turn=0.5, shown=shown)
        head.plane.ellipse(x, y, 0.1 * seen, 0.1, colour * 0.7, shown=shown)
    elif CHEEK_MARKS[mark] == "tattoo":
        head.plane.ellipse(x, y, 0.1 * seen, 0.3, colour, shown=shown)
        head.plane.ellipse(x, y, 0.26 * seen, 0.1, colour, shown=shown)
    else:
        head.plane.ellipse(x, y, 0.24 * seen, 0.22, colour, shown=shown)


def _draw_eyes(head: Head, expression: str) -> None:
    """Eyes and brows."""
    identity, plane = head.identity, head.plane
    size = 0.15 + 0.1 * identity.eye_size
    opening = {"surprised": 1.25, "smiling": 0.72, "angry": 0.7, "sad": 0.8}.get(expression, 0.95)
    raised = {"surprised": 11.0, "angry": -4.0, "sad": 4.0}.get(expression, 0.0)
    slant = {"angry": 0.65, "sad": -0.65}.get(expression, 0.0)
    brow = HAIR_COLOURS[identity.hair] * 0.7
    for side in (-1, 1):
        longitude = side * (20 + 10 * identity.eye_spacing)
        x, y, seen, shown = head.spot(longitude, 9)
        plane.ellipse(x, y, size * 1.2 * seen, size * opening, (252, 252, 252), shown=shown)
        plane.ellipse(
            x,
            y,
            size * 0.72 * seen,
            size * min(opening, 0.95) * 0.85,
            EYE_COLOURS[identity.eyes],
            shown=shown,
        )
        plane.ellipse(x, y, size * 0.34 * seen, size * 0.36, (10, 10, 14), shown=shown)
        x, y, seen, shown = head.spot(longitude, 25 + raised)
        thick = 0.05 + 0.07 * identity.brow
        plane.ellipse(x, y, 0.29 * seen, thick, brow, turn=side * -slant, shown=shown)
        if expression == "sad":
            x, y, seen, shown = head.spot(longitude, -12)
            plane.ellipse(x, y, 0.08 * seen, 0.14, _TEAR, shown=shown)


def _draw_mouth(head: Head, expression: str) -> None:
    """The mouth of each expression."""
    identity, plane = head.identity, head.plane
    lips = _LIPS[0] * (1 - identity.lip_colour) + _LIPS[1] * identity.lip_colour
    x, y, seen, shown = head.spot(0, -37)
    width = 0.2 + 0.16 * identity.mouth_width
    if expression == "surprised":
        plane.ellipse(x, y, 0.2 * seen, 0.27, lips, shown=shown)
        plane.ellipse(x, y, 0.13 * seen, 0.2, (50, 8, 16), shown=shown)
    elif expression == "neutral":
        plane.ellipse(x, y, width * seen, 0.08, lips, shown=shown)
    elif expression == "angry":
        plane.ellipse(x, y, width * 1.1 * seen, 0.19, lips, shown=shown)
        plane.ellipse(x, y, width * 0.95 * seen, 0.13, (60, 10, 20), shown=shown)
        plane.ellipse(x, y, width * 0.7 * seen, 0.04, (250, 250, 250), shown=shown)
    else:
        bend = 1.0 if expression == "smiling" else -1.0
        _draw_bow(head, x, y, width * 1.5 * seen, bend, lips, shown)


def _draw_bow(head: Head, x: Array, y: Array, width: Array, bend: float, colour: Array, shown: Array) -> None:
    """A mouth bent up (+1, with teeth) or down (-1)."""
    plane = head.plane
    rows, columns = plane.window(x, y, 0.6)
    dx = (plane.x[:, rows, columns] - by_frame(x)) / np.maximum(by_frame(width), 1e-3)
    dy = plane.y[:, rows, columns] - by_frame(y)
    arch = dy + bend * 0.32 * (dx * dx - 0.4)
    ends = (1 - np.abs(dx)) * 0.3

    def put(inside: Array, paint: Colour) -> None:
        plane.paint(plane.edge(np.minimum(inside, ends)) * by_frame(shown), paint, (rows, columns))

    if bend > 0:
        thickness = 0.25 * np.clip(1 - dx * dx, 0, 1)
        put(thickness - np.abs(arch - 0.02), colour)
        put(0.6 * thickness - np.abs(arch), (255, 255, 255))
    else:
        put(0.1 - np.abs(arch), colour)
