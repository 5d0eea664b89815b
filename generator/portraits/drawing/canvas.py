"""A canvas of several frames, and soft-edged shapes painted back to front on all of them at once."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
Colour = Array | tuple[float, float, float]


def by_frame(value: Array | float) -> Array:
    """A number, or one for each frame, ready to combine with (F, h, w)."""
    value = np.asarray(value, np.float32)
    return value[:, None, None] if value.ndim == 1 else value


def shade(colour: Array, light: Array) -> Array:
    """A colour under light around 1, for every pixel."""
    return colour * light[..., None]


class Canvas:
    """An image for every frame, painted back to front."""

    def __init__(self, background: Array, num_frames: int) -> None:
        """Start all frames from one background, (H, W, 3) in 0..255."""
        self.image = np.repeat(background[None].astype(np.float32), num_frames, axis=0)

    def pixels(self) -> Array:
        """The frames as uint8."""
        return np.clip(self.image + 0.5, 0, 255).astype(np.uint8)


class Plane:
    """A frame of reference on the canvas: (x, y) in head units for every pixel of every frame."""

    #: The point about which the head tips, in head units: the neck.
    PIVOT = 1.2

    def __init__(self, canvas: Canvas, centre: tuple[float, float], radius: float, roll: Array) -> None:
        self.canvas, self.radius = canvas, radius
        frames, height, width, _ = canvas.image.shape
        rows = ((np.arange(height, dtype=np.float32) + 0.5 - centre[1]) / radius)[None, :, None]
        columns = ((np.arange(width, dtype=np.float32) + 0.5 - centre[0]) / radius)[None, None, :]
        cos = np.cos(roll).astype(np.float32)[:, None, None]
        sin = np.sin(roll).astype(np.float32)[:, None, None]
        lifted = rows - self.PIVOT
        self.x = np.broadcast_to(columns * cos + lifted * sin, (frames, height, width))
        self.y = np.broadcast_to(lifted * cos - columns * sin + self.PIVOT, (frames, height, width))
        self._centre, self._cos, self._sin = centre, cos[:, 0, 0], sin[:, 0, 0]

    def window(self, x: Array | float, y: Array | float, reach: float) -> tuple[slice, slice]:
        """Rows and columns that can hold a shape of radius `reach` at (x, y) in some frame."""
        lifted = np.asarray(y, np.float32) - self.PIVOT
        column = (x * self._cos - lifted * self._sin) * self.radius + self._centre[0]
        row = (x * self._sin + lifted * self._cos + self.PIVOT) * self.radius + self._centre[1]
        margin = reach * self.radius + 1.5
        height, width = self.canvas.image.shape[1:3]
        top, bottom = np.clip([row.min() - margin, row.max() + margin + 1], 0, height).astype(int)
        left, right = np.clip([column.min() - margin, column.max() + margin + 1], 0, width).astype(int)
        return slice(top, bottom), slice(left, right)

    def paint(self, cover: Array, colour: Colour, window: tuple[slice, slice] | None = None) -> None:
        """Blend a colour in.

        Args:
            cover: (F, h, w) opacity in [0, 1].
            colour: RGB in 0..255; one, or one for every pixel (F, h, w, 3).
            window: the rows and columns that `cover` describes; all when None.
        """
        rows, columns = window or (slice(None), slice(None))
        part = self.canvas.image[:, rows, columns]
        part += cover[..., None] * (np.asarray(colour, np.float32) - part)

    def edge(self, inside: Array) -> Array:
        """A signed distance in head units, positive inside, as opacity with a soft one-pixel edge."""
        return np.clip(inside * self.radius + 0.5, 0.0, 1.0)

    def ellipse(
        self,
        x: Array | float,
        y: Array | float,
        width: Array | float,
        height: Array | float,
        colour: Colour,
        *,
        turn: Array | float = 0.0,
        shown: Array | float = 1.0,
    ) -> None:
        """Paint an ellipse of half axes `width` and `height`; every number may differ by frame."""
        widest = float(max(np.max(width), np.max(height)))
        window = self.window(x, y, widest)
        if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
            return
        dx = self.x[:, window[0], window[1]] - by_frame(x)
        dy = self.y[:, window[0], window[1]] - by_frame(y)
        if np.any(turn):
            cos, sin = np.cos(by_frame(turn)), np.sin(by_frame(turn))
            dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
        wide = np.maximum(by_frame(width), 1e-3)
        high = np.maximum(by_frame(height), 1e-3)
        cover = self.edge((1 - np.sqrt((dx / wide) ** 2 + (dy / high) ** 2)) * np.minimum(wide, high))
        self.paint(cover * by_frame(shown), colour, window)
