"""What a person wears, and the hand that waves."""

from __future__ import annotations

import numpy as np

from generator.portraits.drawing.canvas import Array, Colour, Plane, by_frame, shade
from generator.portraits.drawing.head import Head
from generator.portraits.world import SKIN_TONES, Identity

#: Half the width of the shoulders, in head units.
_SHOULDERS = 1.85

_CLOTHES: dict[str, tuple[float, float, float]] = {
    "a red shirt": (222, 30, 40),
    "a blue hoodie": (30, 80, 214),
    "a green sweater": (30, 150, 60),
    "a black suit": (30, 30, 36),
    "a yellow coat": (250, 206, 30),
    "a striped shirt": (250, 250, 250),
    "a white shirt": (244, 244, 248),
}


def draw_body(body: Plane, clothing: str, identity: Identity) -> None:
    """Shoulders and chest in their clothes, and the neck."""
    x, y = np.abs(body.x), body.y
    top = 1.42 + 0.32 * np.clip(x / _SHOULDERS, 0, 1.2) ** 2.4
    cover = body.edge(np.minimum(y - top, _SHOULDERS + 0.06 * (y - 1.4) - x))
    if clothing == "a blue hoodie":
        body.ellipse(0.0, 1.3, 0.98, 0.62, (22, 58, 160))
    light = 1.06 - 0.14 * np.clip(x / _SHOULDERS, 0, 1.2)
    body.paint(cover, shade(np.array(_CLOTHES[clothing], np.float32), light))
    for inside, colour in _details(clothing, x, y):
        body.paint(cover * body.edge(inside), colour)
    neck = np.minimum(0.4 - x, np.minimum(y - 0.6, 1.62 - y - 0.5 * x * x))
    if clothing == "a green sweater":  # its collar stands up
        neck = np.minimum(neck, 1.32 - y)
    body.paint(body.edge(neck), SKIN_TONES[identity.skin] * 0.82)


def _details(clothing: str, x: Array, y: Array) -> list[tuple[Array, Colour]]:
    """What is on top of the cloth: signed distances inside, in head units, and colours.

    `x` is the distance from the middle and `y` the height, down, both (F, H, W).
    """
    if clothing == "a striped shirt":
        return [(0.15 - np.abs((y - 1.5) % 0.6 - 0.3), (220, 30, 60))]
    if clothing == "a black suit":
        collar = np.minimum(0.42 - x - 0.28 * (y - 1.4), y - 1.4)
        return [(collar, (250, 250, 250)), (np.minimum(0.12 - x, y - 1.5), (210, 20, 40))]
    if clothing == "a yellow coat":
        return [(0.07 - x, (150, 100, 10))]
    if clothing == "a green sweater":
        return [(np.minimum(0.62 - x, 0.24 - np.abs(y - 1.5)), (16, 100, 40))]
    if clothing == "a white shirt":
        return [(np.minimum(0.05 - x, y - 1.5), (150, 150, 170))]
    if clothing == "a blue hoodie":
        strings = np.minimum(0.05 - np.abs(x - 0.3), np.minimum(y - 1.5, 2.3 - y))
        return [(strings, (240, 240, 250))]
    return []


def draw_accessories(head: Head, body: Plane, accessory: str) -> None:
    """What the person wears besides clothes."""
    plane, yaw = head.plane, head.view.yaw
    if accessory in ("round glasses", "sunglasses"):
        _draw_glasses(head, dark=accessory == "sunglasses")
    elif accessory == "a red cap":
        inside, _, height, front = head.surface(1.16)
        plane.paint(plane.edge(inside) * plane.edge(height * 0.95 - 0.36 - 0.12 * front), (230, 20, 30))
        x, y, _, _ = head.spot(0, 30)
        plane.ellipse(x * 1.35, y, 0.62, 0.16, (150, 8, 20))
    elif accessory == "headphones":
        ring = 0.1 - np.abs(np.hypot(plane.x / (1.2 * head.rx), plane.y / 1.28) - 1) * 1.0
        plane.paint(plane.edge(np.minimum(ring, -plane.y)), (40, 40, 50))
        for side in (-1, 1):
            x, y, _, _ = head.spot(90.0 * side, 0)
            shown = np.clip(-side * np.sin(yaw) * 5 + 1.2, 0, 1)
            plane.ellipse(x * 1.12, y, 0.26, 0.42, (20, 200, 120), shown=shown)
    elif accessory == "an orange scarf":
        body.ellipse(0.0, 1.42, 0.82, 0.3, (255, 130, 10))
        body.ellipse(0.42, 2.0, 0.22, 0.62, (236, 100, 0))


def _draw_glasses(head: Head, *, dark: bool) -> None:
    """Two lenses, a bridge, and arms that reach for the ears."""
    plane = head.plane
    left, right = head.spot(-26, 8), head.spot(26, 8)
    window_y = (left[1] + right[1]) / 2
    plane.ellipse((left[0] + right[0]) / 2, window_y, np.abs(right[0] - left[0]) / 2, 0.06, (20, 20, 24))
    for side, (x, y, seen, shown) in ((-1, left), (1, right)):
        ear = head.spot(84.0 * side, 8)
        plane.ellipse(
            (x + ear[0]) / 2, (y + ear[1]) / 2, np.abs(ear[0] - x) / 2, 0.05, (20, 20, 24), shown=ear[3]
        )
        rows, columns = plane.window(x, y, 0.5)
        dx = (plane.x[:, rows, columns] - by_frame(x)) / np.maximum(by_frame(0.34 * seen), 1e-3)
        dy = (plane.y[:, rows, columns] - by_frame(y)) / 0.33
        distance = (1 - np.sqrt(dx * dx + dy * dy)) * 0.33
        rim = plane.edge(distance) if dark else plane.edge(0.045 - np.abs(distance - 0.045))
        plane.paint(rim * by_frame(shown), (14, 14, 20), (rows, columns))


def draw_hand(body: Plane, wave: Array, identity: Identity, half_width: float) -> None:
    """A raised hand that swings beside the head."""
    x = np.float32(min(1.62, half_width - 0.32)) + 0.16 * wave
    skin = SKIN_TONES[identity.skin]
    body.ellipse(x * 0.5 + 0.72, 1.45, 0.2, 0.9, skin * 0.86)
    body.ellipse(x, 0.35, 0.3, 0.34, skin)
    for finger in (-0.22, -0.07, 0.08, 0.23):
        body.ellipse(x + finger * 1.15 + 0.06 * wave, -0.02, 0.075, 0.26, skin, turn=finger)
