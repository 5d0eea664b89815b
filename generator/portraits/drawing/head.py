"""The head: an ellipsoid of radius about 1 in its own units, which looks somewhere in each frame.

x points to the viewer's right, y down, the origin is the head's centre. Features sit at a longitude and
latitude of the surface and turn with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.portraits.drawing.canvas import Array, Plane, by_frame
from generator.portraits.world import SKIN_TONES, Identity


@dataclass(frozen=True)
class View:
    """Where the head looks in each frame."""

    yaw: Array  # (F,) radians, positive turns the face to the viewer's right
    pitch: Array  # (F,) radians, positive looks up
    roll: Array  # (F,) radians, positive tips to the viewer's right
    wave: Array | None  # (F,) the hand's sideways swing in [-1, 1], or None when no hand is shown


def plan_view(action: str, num_frames: int, rng: np.random.Generator, yaw: float | None = None) -> View:
    """The head's motion over a clip.

    Args:
        action: a state of the element `action`.
        num_frames: F, at least 1.
        rng: draws the small differences between two clips of one action.
        yaw: where the face looks at first, radians; drawn near the front when None.

    Returns:
        The view in each frame.
    """
    time = np.linspace(0.0, 1.0, num_frames) if num_frames > 1 else np.zeros(1)
    start = rng.uniform(-0.15, 0.15) if yaw is None else yaw
    turn = {"turning left": -1.0, "turning right": 1.0}.get(action, 0.0)
    reach = turn * rng.uniform(0.8, 0.95)
    smooth = time * time * (3 - 2 * time)
    yaws = (1 - abs(turn) * smooth) * start + smooth * reach
    pitch = np.full(num_frames, rng.uniform(-0.1, 0.1))
    if action == "nodding":
        pitch = pitch - 0.45 * np.sin(np.pi * time) ** 2
    roll = np.zeros(num_frames)
    if action == "tilting the head":
        roll = rng.choice([-1.0, 1.0]) * 0.42 * np.sin(np.pi * np.minimum(time * 1.2, 1.0) / 2)
    wave = np.sin(2 * np.pi * (1.25 * time + rng.random())) if action == "waving" else None
    return View(yaws, pitch, roll, wave)


#: Half the head's height, in head units.
HEIGHT = 1.12


def head_width(identity: Identity) -> float:
    """Half the head's width, in head units."""
    return 0.78 + 0.22 * identity.head_width


class Head:
    """The head's plane together with who it is and where it looks."""

    def __init__(self, plane: Plane, identity: Identity, view: View) -> None:
        self.plane, self.identity, self.view = plane, identity, view
        self.rx = head_width(identity)
        self.ry = HEIGHT
        self.skin = SKIN_TONES[identity.skin]

    def spot(self, longitude: float, latitude: float) -> tuple[Array, Array, Array, Array]:
        """Where a point of the surface is seen.

        Args:
            longitude: degrees from the front, positive to the viewer's right.
            latitude: degrees from the height of the centre, positive up.

        Returns:
            x, y in head units, how much of its width is seen in [0, 1], and opacity (0 behind the head).
        """
        lon, lat = np.radians(longitude), np.radians(latitude)
        side, up, front = np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)
        x = side * np.cos(self.view.yaw) + front * np.sin(self.view.yaw)
        depth = front * np.cos(self.view.yaw) - side * np.sin(self.view.yaw)
        y = up * np.cos(self.view.pitch) + depth * np.sin(self.view.pitch)
        near = depth * np.cos(self.view.pitch) - up * np.sin(self.view.pitch)
        seen = np.sqrt(np.clip(1 - x**2, 0, 1))
        return x * self.rx, -y * self.ry, seen, np.clip(near * 6 - 0.3, 0, 1)

    def surface(self, swell: float) -> tuple[Array, Array, Array, Array]:
        """For every pixel: the signed distance inside the head, and the head's own side, up, front.

        Args:
            swell: how much larger than the head the surface is; 1 is the skin.
        """
        u, v = self.plane.x / (self.rx * swell), self.plane.y / (self.ry * swell)
        narrow = 1 - (0.05 + 0.3 * (1 - self.identity.jaw)) * np.clip(v, 0, 1.2) ** 2
        u = u / narrow
        square = u * u + v * v
        inside = (1 - np.sqrt(square)) * min(self.rx, self.ry)
        near = np.sqrt(np.clip(1 - square, 0, 1))
        up = -v
        pitch, yaw = by_frame(self.view.pitch), by_frame(self.view.yaw)
        height = up * np.cos(pitch) - near * np.sin(pitch)
        depth = near * np.cos(pitch) + up * np.sin(pitch)
        side = u * np.cos(yaw) - depth * np.sin(yaw)
        front = depth * np.cos(yaw) + u * np.sin(yaw)
        return inside, side, height, front
