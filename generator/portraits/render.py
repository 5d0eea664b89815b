"""Draw clips of the portrait world: soft-edged shapes over a background, on a head that turns.

The head is an ellipsoid of radius 1 in its own units: x to the viewer's right, y down, centre at the
origin. Features sit at a longitude and latitude of it and turn with yaw and pitch; the hair is the part of
the surface behind a plane, so it turns as well. Everything is drawn for all frames at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from generator.portraits.world import (
    CHEEK_COLOURS,
    CHEEK_MARKS,
    EAR_COLOURS,
    EYE_COLOURS,
    FACIAL_HAIR,
    HAIR_COLOURS,
    SKIN_TONES,
    Identity,
)

Array = np.ndarray
Colour = Array | tuple[float, float, float]

#: Head radius in pixels of a 64-pixel frame, and the height of the head's centre in it.
_FRAMINGS = {"close-up": (19.0, 28.5), "medium shot": (15.0, 28.0), "wide shot": (11.0, 22.0)}

_LIPS = (np.array([176, 70, 70], np.float32), np.array([214, 30, 74], np.float32))


@dataclass(frozen=True)
class View:
    """Where the head looks in each frame.

    Attributes:
        yaw: (F,) radians, positive turns the face to the viewer's right.
        pitch: (F,) radians, positive looks up.
        roll: (F,) radians, positive tips to the viewer's right.
        wave: (F,) the hand's sideways swing in [-1, 1], or None when no hand is shown.
    """

    yaw: Array
    pitch: Array
    roll: Array
    wave: Array | None


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
        pitch = pitch + 0.42 * np.sin(2 * np.pi * 1.0 * time)
    roll = np.zeros(num_frames)
    if action == "tilting the head":
        roll = rng.choice([-1.0, 1.0]) * 0.42 * np.sin(np.pi * np.minimum(time * 1.2, 1.0) / 2)
    wave = np.sin(2 * np.pi * (1.25 * time + rng.random())) if action == "waving" else None
    return View(yaws, pitch, roll, wave)


def render_clip(
    identity: Identity,
    elements: Mapping[str, str],
    *,
    num_frames: int = 9,
    size: int = 64,
    seed: int = 0,
    yaw: float | None = None,
) -> Array:
    """Draw one clip.

    Args:
        identity: the person.
        elements: a state for each of the seven elements.
        num_frames: F; 1 draws a still.
        size: height and width in pixels.
        seed: draws position and view; equal seeds give equal pixels.
        yaw: where the face looks at first, radians; near the front when None.

    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    rng = np.random.default_rng([seed, 11])
    view = plan_view(elements["action"], num_frames, rng, yaw)
    radius, height = _FRAMINGS[elements["camera_shot"]]
    unit = size / 64
    centre = ((32 + rng.uniform(-1.5, 1.5)) * unit, (height + rng.uniform(-1, 1)) * unit)
    canvas = Canvas(_background(elements["background"], size, rng.uniform(-2, 2)), num_frames)
    body = canvas.plane(centre, radius * unit, np.zeros(num_frames))
    head = Head(canvas.plane(centre, radius * unit, view.roll), identity, view)
    hair = HAIR_COLOURS[identity.hair]
    _draw_hair_behind(head, elements["hairstyle"], hair)
    _draw_body(body, elements["clothing"], identity)
    if elements["hairstyle"] == "long hair":
        _draw_long_hair(head, hair)
    _draw_face(head, elements["expression"])
    _draw_hair(head, elements["hairstyle"], hair)
    for side, ring in ((-1, identity.left_ear), (1, identity.right_ear)):
        _draw_ear(head, side, ring, near=True)
    _draw_accessories(head, body, elements["accessories"])
    if view.wave is not None:
        _draw_hand(body, view.wave, identity, size / (2 * radius * unit))
    return canvas.pixels()


class Canvas:
    """An image for every frame, painted back to front."""

    def __init__(self, background: Array, num_frames: int) -> None:
        """Start all frames from one background, (H, W, 3) in 0..255."""
        self.image = np.repeat(background[None].astype(np.float32), num_frames, axis=0)

    def plane(self, centre: tuple[float, float], radius: float, roll: Array) -> Plane:
        """Coordinates in units of `radius` around `centre`, turned by `roll` about the neck."""
        return Plane(self, centre, radius, roll)

    def pixels(self) -> Array:
        """The frames as uint8."""
        return np.clip(self.image + 0.5, 0, 255).astype(np.uint8)


class Plane:
    """A frame of reference on the canvas: (x, y) in head units for every pixel of every frame."""

    #: The point about which the head tips, in head units: the neck.
    PIVOT = 1.2

    def __init__(self, canvas: Canvas, centre: tuple[float, float], radius: float, roll: Array) -> None:
        """Lay the grid out for all frames."""
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
        dx = self.x[:, window[0], window[1]] - _by_frame(x)
        dy = self.y[:, window[0], window[1]] - _by_frame(y)
        if np.any(turn):
            cos, sin = np.cos(_by_frame(turn)), np.sin(_by_frame(turn))
            dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
        wide = np.maximum(_by_frame(width), 1e-3)
        high = np.maximum(_by_frame(height), 1e-3)
        cover = self.edge((1 - np.sqrt((dx / wide) ** 2 + (dy / high) ** 2)) * np.minimum(wide, high))
        self.paint(cover * _by_frame(shown), colour, window)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Paint a rectangle."""
        inside = np.minimum(
            np.minimum(self.x - left, right - self.x), np.minimum(self.y - top, bottom - self.y)
        )
        self.paint(self.edge(inside), colour)


class Head:
    """The head's plane together with who it is and where it looks."""

    def __init__(self, plane: Plane, identity: Identity, view: View) -> None:
        """Place the head; `rx` and `ry` are its half axes in head units."""
        self.plane, self.identity, self.view = plane, identity, view
        self.rx = 0.78 + 0.22 * identity.head_width
        self.ry = 1.12
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
        pitch, yaw = _by_frame(self.view.pitch), _by_frame(self.view.yaw)
        height = up * np.cos(pitch) - near * np.sin(pitch)
        depth = near * np.cos(pitch) + up * np.sin(pitch)
        side = u * np.cos(yaw) - depth * np.sin(yaw)
        front = depth * np.cos(yaw) + u * np.sin(yaw)
        return inside, side, height, front


def _by_frame(value: Array | float) -> Array:
    """A number, or one for each frame, ready to combine with (F, h, w)."""
    value = np.asarray(value, np.float32)
    return value[:, None, None] if value.ndim == 1 else value


def _shade(colour: Array, light: Array) -> Array:
    """A colour under light around 1, for every pixel."""
    return colour * light[..., None]


def _background(name: str, size: int, shift: float) -> Array:
    """A place: a vertical gradient with a few large shapes, moved sideways by `shift` pixels of 64."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (64 / size)
    x = x + shift

    def blend(top: Colour, bottom: Colour) -> Array:
        share = (y / 64)[..., None]
        return np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share

    def put(image: Array, inside: Array, colour: Colour) -> None:
        image += np.clip(inside + 0.5, 0, 1)[..., None] * (np.asarray(colour, np.float32) - image)

    if name == "a grey studio":
        return blend((196, 196, 200), (120, 120, 126))
    if name == "a beach":
        image = blend((60, 160, 250), (150, 215, 255))
        put(image, y - 34, (30, 110, 200))
        put(image, y - 42, (244, 216, 140))
        put(image, 6 - np.hypot(x - 53, y - 9), (255, 240, 90))
        return image
    if name == "a forest":
        image = blend((120, 200, 90), (20, 90, 40))
        for trunk in (6, 19, 45, 58):
            put(image, 2.6 - np.abs(x - trunk), (80, 50, 26))
        put(image, y - 50, (30, 110, 30))
        return image
    if name == "a brick wall":
        image = blend((190, 84, 60), (160, 62, 46))
        put(image, 0.7 - np.abs(y % 8 - 4), (226, 200, 180))
        put(
            image,
            np.where(
                np.floor((y + 4) / 8) % 2 == 0, 0.7 - np.abs(x % 16 - 8), 0.7 - np.abs((x + 8) % 16 - 8)
            ),
            (226, 200, 180),
        )
        return image
    if name == "a city at night":
        image = blend((12, 14, 50), (40, 30, 90))
        for left, top, width in ((0, 16, 14), (16, 28, 10), (40, 22, 11), (52, 10, 14)):
            put(image, np.minimum(np.minimum(x - left, left + width - x), y - top), (20, 20, 34))
            windows = np.minimum(np.abs(x - left) % 5 - 1.5, (y - top) % 6 - 2.5)
            within = np.minimum(np.minimum(x - left - 1, left + width - 1 - x), y - top - 1)
            put(image, np.minimum(windows, within), (255, 220, 90))
        return image
    if name == "a pink sunset":
        image = blend((150, 60, 160), (255, 170, 90))
        put(image, 9 - np.hypot(x - 50, y - 40), (255, 240, 150))
        put(image, y - 46, (110, 40, 110))
        return image
    image = blend((150, 200, 240), (220, 236, 250))
    for peak, top, slope in ((14, 12, 1.0), (50, 6, 0.85), (32, 26, 0.9)):
        put(image, (y - top) * slope - np.abs(x - peak), (96, 116, 150))
        put(image, np.minimum((y - top) * slope - np.abs(x - peak), top + 11 - y), (255, 255, 255))
    put(image, y - 48, (245, 250, 255))
    return image


def _draw_body(body: Plane, clothing: str, identity: Identity) -> None:
    """Shoulders, chest and neck."""
    skin = SKIN_TONES[identity.skin]
    shoulders = 1.85
    x, y = np.abs(body.x), body.y
    top = 1.42 + 0.32 * np.clip(x / shoulders, 0, 1.2) ** 2.4
    inside = np.minimum(y - top, shoulders + 0.06 * (y - 1.4) - x)
    cover = body.edge(inside)
    colours: dict[str, tuple[float, float, float]] = {
        "a red shirt": (222, 30, 40),
        "a blue hoodie": (30, 80, 214),
        "a green sweater": (30, 150, 60),
        "a black suit": (30, 30, 36),
        "a yellow coat": (250, 206, 30),
        "a striped shirt": (250, 250, 250),
        "a white shirt": (244, 244, 248),
    }
    if clothing == "a blue hoodie":
        body.ellipse(0.0, 1.3, 0.98, 0.62, (22, 58, 160))
    body.paint(
        cover, _shade(np.array(colours[clothing], np.float32), 1.06 - 0.14 * np.clip(x / shoulders, 0, 1.2))
    )
    if clothing == "a striped shirt":
        body.paint(cover * body.edge(0.15 - np.abs((y - 1.5) % 0.6 - 0.3)), (220, 30, 60))
    if clothing == "a black suit":
        collar = np.minimum(0.42 - x - 0.28 * (y - 1.4), y - 1.4)
        body.paint(cover * body.edge(collar), (250, 250, 250))
        body.paint(cover * body.edge(np.minimum(0.12 - x, y - 1.5)), (210, 20, 40))
    if clothing == "a yellow coat":
        body.paint(cover * body.edge(0.07 - x), (150, 100, 10))
    if clothing == "a green sweater":
        body.paint(cover * body.edge(np.minimum(0.62 - x, 0.24 - np.abs(y - 1.5))), (16, 100, 40))
    if clothing == "a white shirt":
        body.paint(cover * body.edge(np.minimum(0.05 - x, y - 1.5)), (150, 150, 170))
    if clothing == "a blue hoodie":
        body.paint(
            cover * body.edge(np.minimum(0.05 - np.abs(x - 0.3), np.minimum(y - 1.5, 2.3 - y))),
            (240, 240, 250),
        )
    neck = np.minimum(0.4 - x, np.minimum(y - 0.6, 1.62 - y - 0.5 * x * x))
    if clothing != "a green sweater":
        body.paint(body.edge(neck), skin * 0.82)
    else:
        body.paint(body.edge(np.minimum(neck, 1.32 - y)), skin * 0.82)


def _draw_face(head: Head, expression: str) -> None:
    """Ears, the face with its marks, and the features that show the expression."""
    plane, identity = head.plane, head.identity
    for side, ring in ((-1, identity.left_ear), (1, identity.right_ear)):
        _draw_ear(head, side, ring, near=False)
    inside, side_of, height, front = head.surface(1.0)
    light = 1.04 - 0.16 * np.clip(plane.x * 0.5 + plane.y * 0.35, -0.5, 1.0)
    plane.paint(plane.edge(inside), _shade(head.skin, light))
    if FACIAL_HAIR[identity.facial_hair] == "beard":
        region = np.minimum(-0.3 - height, front + 0.15) * 0.9
        hollow = 0.13 - np.hypot(side_of * 0.42, height + 0.52)
        cover = plane.edge(inside) * plane.edge(np.minimum(region, -hollow))
        plane.paint(cover, HAIR_COLOURS[identity.hair] * 0.85)
    for longitude, mark in ((-80.0, identity.left_cheek), (80.0, identity.right_cheek)):
        _draw_mark(head, longitude, mark)
    _draw_eyes(head, expression)
    _draw_mouth(head, expression)
    if FACIAL_HAIR[identity.facial_hair] == "moustache":
        x, y, seen, shown = head.spot(0, -26)
        plane.ellipse(x, y, 0.36 * seen, 0.11, HAIR_COLOURS[identity.hair] * 0.85, shown=shown)
    x, y, seen, shown = head.spot(0, -8)
    length, width = 0.16 + 0.16 * identity.nose_length, 0.07 + 0.1 * identity.nose_width
    lean = 0.16 * np.sin(head.view.yaw)
    plane.ellipse(x + lean, y - 0.06, width * 0.6, length, head.skin * 0.86)
    plane.ellipse(x + lean, y + length - 0.1, width * 1.2, 0.09, head.skin * 0.74)


def _draw_ear(head: Head, side: int, ring: int, *, near: bool) -> None:
    """One ear at the viewer's left (-1) or right (+1), with its ring.

    Args:
        head: whose.
        side: which ear.
        ring: index into `EAR_RINGS`.
        near: paint it only as far as it lies on this side of the head (over the hair), else as far as
            it peeps out from behind.
    """
    x, y, _, _ = head.spot(90.0 * side, -2)
    toward = -side * np.sin(head.view.yaw)
    shown = np.clip(toward * 8 - 0.8, 0, 1) if near else np.clip(toward * 5 + 0.9, 0, 1)
    place = x * 1.03
    head.plane.ellipse(place, y, 0.16, 0.24, head.skin * 0.86, shown=shown)
    if ring:
        head.plane.ellipse(place, y + 0.36, 0.15, 0.2, EAR_COLOURS[ring], shown=shown)


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
    raised = {"surprised": 10.0, "angry": -5.0, "sad": 2.0}.get(expression, 0.0)
    slant = {"angry": 0.5, "sad": -0.5}.get(expression, 0.0)
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
        thick = 0.045 + 0.07 * identity.brow
        plane.ellipse(x, y, 0.27 * seen, thick, brow, turn=side * -slant, shown=shown)


def _draw_mouth(head: Head, expression: str) -> None:
    """The mouth of each expression."""
    identity, plane = head.identity, head.plane
    lips = _LIPS[0] * (1 - identity.lip_colour) + _LIPS[1] * identity.lip_colour
    x, y, seen, shown = head.spot(0, -37)
    width = 0.2 + 0.16 * identity.mouth_width
    if expression == "surprised":
        plane.ellipse(x, y, 0.17 * seen, 0.24, lips, shown=shown)
        plane.ellipse(x, y, 0.11 * seen, 0.17, (50, 8, 16), shown=shown)
    elif expression == "neutral":
        plane.ellipse(x, y, width * seen, 0.08, lips, shown=shown)
    elif expression == "angry":
        plane.ellipse(x, y, width * 1.1 * seen, 0.15, lips, shown=shown)
        plane.ellipse(x, y, width * 0.95 * seen, 0.09, (250, 250, 250), shown=shown)
    else:
        bend = 1.0 if expression == "smiling" else -1.0
        _draw_bow(head, x, y, width * 1.35 * seen, bend, lips, shown)


def _draw_bow(head: Head, x: Array, y: Array, width: Array, bend: float, colour: Array, shown: Array) -> None:
    """A mouth bent up (+1, with teeth) or down (-1)."""
    plane = head.plane
    rows, columns = plane.window(x, y, 0.6)
    dx = (plane.x[:, rows, columns] - _by_frame(x)) / np.maximum(_by_frame(width), 1e-3)
    dy = plane.y[:, rows, columns] - _by_frame(y)
    arch = dy + bend * 0.24 * (dx * dx - 0.4)
    ends = (1 - np.abs(dx)) * 0.3
    if bend > 0:
        thickness = 0.19 * np.clip(1 - dx * dx, 0, 1)
        plane.paint(
            plane.edge(np.minimum(thickness - np.abs(arch - 0.02), ends)) * _by_frame(shown),
            colour,
            (rows, columns),
        )
        plane.paint(
            plane.edge(np.minimum(0.6 * thickness - np.abs(arch - 0.0), ends)) * _by_frame(shown),
            (255, 255, 255),
            (rows, columns),
        )
    else:
        plane.paint(
            plane.edge(np.minimum(0.085 - np.abs(arch), ends)) * _by_frame(shown), colour, (rows, columns)
        )


def _draw_hair_behind(head: Head, style: str, colour: Array) -> None:
    """The parts of a hairstyle that are behind head and body."""
    plane = head.plane
    back = -np.sin(head.view.yaw)
    if style == "curly hair":
        for angle in np.linspace(-200, 20, 9):
            x, y = 0.98 * np.cos(np.radians(angle)), -0.22 + 1.0 * np.sin(np.radians(angle))
            plane.ellipse(x + 0.25 * back, y, 0.52, 0.52, colour * 0.92)
    elif style == "a bun":
        plane.ellipse(0.45 * back, -1.42, 0.5, 0.46, colour * 0.92)
    elif style == "pigtails":
        for side in (-1, 1):
            plane.ellipse(
                side * 1.22 * head.rx + 0.3 * back, 0.25, 0.36, 0.72, colour * 0.92, turn=side * -0.25
            )
    elif style == "long hair":
        plane.ellipse(0.3 * back, 0.1, 1.18 * head.rx, 1.25, colour * 0.8)


def _draw_long_hair(head: Head, colour: Array) -> None:
    """Long hair that falls over the shoulders, behind the face."""
    plane = head.plane
    x = plane.x + _by_frame(0.3 * np.sin(head.view.yaw))
    wide = 1.22 * head.rx
    inside = np.minimum(wide - np.abs(x), np.minimum(plane.y + 0.5, 1.95 - plane.y))
    inside = np.minimum(inside, np.where(plane.y < 1.0, 1.0, np.abs(x) - 0.45))
    plane.paint(plane.edge(inside), colour * 0.85)


def _draw_hair(head: Head, style: str, colour: Array) -> None:
    """The hair on the head: all of the surface behind a slanted plane."""
    plane = head.plane
    swell = {"curly hair": 1.12, "a mohawk": 1.02, "long hair": 1.1}.get(style, 1.07)
    inside, side, height, front = head.surface(swell)
    low = {"short hair": 0.22, "a mohawk": 0.3}.get(style, 0.16)
    behind = height * 0.86 - front * 0.5 + low - 0.28
    light = 1.12 - 0.3 * np.clip(plane.x * 0.45 + plane.y * 0.3 + 0.3, 0, 1)
    if style == "a mohawk":
        strip = np.minimum(0.26 - np.abs(side), behind + 0.12)
        plane.paint(plane.edge(inside) * plane.edge(np.minimum(strip, behind + 0.1)), _shade(colour, light))
        for place in (-0.9, -1.05, -1.2):
            plane.ellipse(-0.3 * np.sin(head.view.yaw), place - 0.12, 0.24, 0.42, colour)
        return
    plane.paint(plane.edge(inside) * plane.edge(behind), _shade(colour, light))


def _draw_accessories(head: Head, body: Plane, accessory: str) -> None:
    """What the person wears besides clothes."""
    plane, yaw = head.plane, head.view.yaw
    if accessory in ("round glasses", "sunglasses"):
        _draw_glasses(head, dark=accessory == "sunglasses")
    elif accessory == "a red cap":
        inside, _, height, front = head.surface(1.16)
        plane.paint(plane.edge(inside) * plane.edge(height * 0.95 - 0.36 - 0.12 * front), (230, 20, 30))
        x, y, seen, _ = head.spot(0, 30)
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
        dx = (plane.x[:, rows, columns] - _by_frame(x)) / np.maximum(_by_frame(0.34 * seen), 1e-3)
        dy = (plane.y[:, rows, columns] - _by_frame(y)) / 0.33
        distance = (1 - np.sqrt(dx * dx + dy * dy)) * 0.33
        rim = plane.edge(distance) if dark else plane.edge(0.045 - np.abs(distance - 0.045))
        plane.paint(rim * _by_frame(shown), (14, 14, 20), (rows, columns))


def _draw_hand(body: Plane, wave: Array, identity: Identity, half_width: float) -> None:
    """A raised hand that swings beside the head."""
    x = np.float32(min(1.62, half_width - 0.32)) + 0.16 * wave
    skin = SKIN_TONES[identity.skin]
    body.ellipse(x * 0.5 + 0.72, 1.45, 0.2, 0.9, skin * 0.86)
    body.ellipse(x, 0.35, 0.3, 0.34, skin)
    for finger in (-0.22, -0.07, 0.08, 0.23):
        body.ellipse(x + finger * 1.15 + 0.06 * wave, -0.02, 0.075, 0.26, skin, turn=finger)
