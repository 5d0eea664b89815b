"""Backgrounds: a vertical gradient with a few large shapes, in units of 1/64 of the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from generator.portraits.drawing.canvas import Array, Colour


class Place:
    """A picture of a place while it is painted.

    Attributes:
        x: (H, W) from 0 on the left to 64.
        y: (H, W) from 0 at the top to 64.
        image: (H, W, 3) in 0..255.
    """

    def __init__(self, size: int, shift: float) -> None:
        self.y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (64 / size)
        self.x = x + shift
        self.image: Array = np.zeros((size, size, 3), np.float32)

    def fill(self, top: Colour, bottom: Colour) -> None:
        """Paint a vertical gradient."""
        share = (self.y / 64)[..., None]
        self.image = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share

    def put(self, inside: Array, colour: Colour) -> None:
        """Paint where a signed distance (H, W) is positive."""
        cover = np.clip(inside + 0.5, 0, 1)[..., None]
        self.image += cover * (np.asarray(colour, np.float32) - self.image)


def draw_place(name: str, size: int, shift: float) -> Array:
    """Draw a state of the element `background`: (size, size, 3) float32 in 0..255.

    It is shifted sideways by `shift`, in 1/64 of the picture.
    """
    place = Place(size, shift)
    _PLACES[name](place)
    return place.image


def _studio(place: Place) -> None:
    place.fill((196, 196, 200), (120, 120, 126))


def _beach(place: Place) -> None:
    place.fill((60, 160, 250), (150, 215, 255))
    place.put(place.y - 34, (30, 110, 200))
    place.put(place.y - 42, (244, 216, 140))
    place.put(6 - np.hypot(place.x - 53, place.y - 9), (255, 240, 90))


def _forest(place: Place) -> None:
    place.fill((120, 200, 90), (20, 90, 40))
    for trunk in (6, 19, 45, 58):
        place.put(2.6 - np.abs(place.x - trunk), (80, 50, 26))
    place.put(place.y - 50, (30, 110, 30))


def _bricks(place: Place) -> None:
    mortar = (226, 200, 180)
    place.fill((190, 84, 60), (160, 62, 46))
    place.put(0.7 - np.abs(place.y % 8 - 4), mortar)
    shifted = np.where(np.floor((place.y + 4) / 8) % 2 == 0, place.x, place.x + 8)
    place.put(0.7 - np.abs(shifted % 16 - 8), mortar)


def _city(place: Place) -> None:
    x, y = place.x, place.y
    place.fill((12, 14, 50), (40, 30, 90))
    for left, top, width in ((0, 16, 14), (16, 28, 10), (40, 22, 11), (52, 10, 14)):
        place.put(np.minimum(np.minimum(x - left, left + width - x), y - top), (20, 20, 34))
        windows = np.minimum(np.abs(x - left) % 5 - 1.5, (y - top) % 6 - 2.5)
        within = np.minimum(np.minimum(x - left - 1, left + width - 1 - x), y - top - 1)
        place.put(np.minimum(windows, within), (255, 220, 90))


def _sunset(place: Place) -> None:
    place.fill((150, 60, 160), (255, 170, 90))
    place.put(9 - np.hypot(place.x - 50, place.y - 40), (255, 240, 150))
    place.put(place.y - 46, (110, 40, 110))


def _mountain(place: Place) -> None:
    place.fill((150, 200, 240), (220, 236, 250))
    for peak, top, slope in ((14, 12, 1.0), (50, 6, 0.85), (32, 26, 0.9)):
        rock = (place.y - top) * slope - np.abs(place.x - peak)
        place.put(rock, (96, 116, 150))
        place.put(np.minimum(rock, top + 11 - place.y), (255, 255, 255))
    place.put(place.y - 48, (245, 250, 255))


_PLACES: dict[str, Callable[[Place], None]] = {
    "a grey studio": _studio,
    "a beach": _beach,
    "a forest": _forest,
    "a brick wall": _bricks,
    "a city at night": _city,
    "a pink sunset": _sunset,
    "a snowy mountain": _mountain,
}
