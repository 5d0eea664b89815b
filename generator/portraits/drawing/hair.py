"""Hairstyles: what hangs behind, and the part of the head's surface that hair covers."""

from __future__ import annotations

import numpy as np

from generator.portraits.drawing.canvas import Array, by_frame, shade
from generator.portraits.drawing.head import Head


def draw_hair_behind(head: Head, style: str, colour: Array) -> None:
    """The parts of a hairstyle that are behind head and body."""
    plane = head.plane
    back = -np.sin(head.view.yaw)
    if style == "curly hair":
        for angle in np.linspace(-200, 20, 9):
            x, y = 0.98 * np.cos(np.radians(angle)), -0.22 + 1.0 * np.sin(np.radians(angle))
            plane.ellipse(x + 0.25 * back, y, 0.52, 0.52, colour * 0.92)
    elif style == "a bun":
        plane.ellipse(0.45 * back, -1.4, 0.56, 0.46, colour * 0.92)
    elif style == "pigtails":
        for side in (-1, 1):
            plane.ellipse(
                side * 1.22 * head.rx + 0.3 * back, 0.25, 0.36, 0.72, colour * 0.92, turn=side * -0.25
            )
    elif style == "long hair":
        plane.ellipse(0.3 * back, 0.1, 1.18 * head.rx, 1.25, colour * 0.8)


def draw_long_hair(head: Head, colour: Array) -> None:
    """Long hair that falls over the shoulders, behind the face."""
    plane = head.plane
    x = plane.x + by_frame(0.3 * np.sin(head.view.yaw))
    wide = 1.22 * head.rx
    inside = np.minimum(wide - np.abs(x), np.minimum(plane.y + 0.5, 1.95 - plane.y))
    inside = np.minimum(inside, np.where(plane.y < 1.0, 1.0, np.abs(x) - 0.45))
    plane.paint(plane.edge(inside), colour * 0.85)


def draw_hair(head: Head, style: str, colour: Array) -> None:
    """The hair on the head: all of the surface behind a slanted plane."""
    plane = head.plane
    swell = {"curly hair": 1.12, "a mohawk": 1.02, "long hair": 1.1}.get(style, 1.07)
    inside, side, height, front = head.surface(swell)
    low = {"short hair": 0.22, "a mohawk": 0.3}.get(style, 0.16)
    behind = height * 0.86 - front * 0.5 + low - 0.28
    light = 1.12 - 0.3 * np.clip(plane.x * 0.45 + plane.y * 0.3 + 0.3, 0, 1)
    if style == "a mohawk":
        strip = np.minimum(0.26 - np.abs(side), behind + 0.12)
        plane.paint(plane.edge(inside) * plane.edge(np.minimum(strip, behind + 0.1)), shade(colour, light))
        for y in (-0.9, -1.05, -1.2):
            plane.ellipse(-0.3 * np.sin(head.view.yaw), y - 0.16, 0.2, 0.46, colour)
        return
    plane.paint(plane.edge(inside) * plane.edge(behind), shade(colour, light))
