"""All eight ways in which a stored picture may have to be turned, for photos and for clips."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generator.media.normalise import normalise
from generator.media.turning import Turn, turn_of
from generator.media.video import probe, read_clip
from tests.generator.media.media_files import MediaMaker

CASES = Path(__file__).parents[4] / "shared/cases"
#: Of the card, by its corners: top left, top right, bottom left, bottom right.
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (245, 245, 245)}
#: EXIF orientation -> a, b, c, d of the display matrix that asks for the same, and the corners as shown. From
#: EXIF's table: which sides of what is seen are the stored first row and first column.
ORIENTATIONS = {
    1: ((1, 0, 0, 1), ("red", "green", "blue", "white")),
    2: ((-1, 0, 0, 1), ("green", "red", "white", "blue")),
    3: ((-1, 0, 0, -1), ("white", "blue", "green", "red")),
    4: ((1, 0, 0, -1), ("blue", "white", "red", "green")),
    5: ((0, 1, 1, 0), ("red", "blue", "green", "white")),
    6: ((0, 1, -1, 0), ("blue", "red", "white", "green")),
    7: ((0, -1, -1, 0), ("white", "green", "blue", "red")),
    8: ((0, -1, 1, 0), ("green", "white", "red", "blue")),
}


def card(width: int = 96, height: int = 64) -> np.ndarray:
    pixels = np.empty((height, width, 3), np.uint8)
    for (row, column), colour in zip(itertools.product((0, 1), (0, 1)), COLOURS.values(), strict=True):
        rows = slice(row * height // 2, (row + 1) * height // 2)
        pixels[rows, column * width // 2 : (column + 1) * width // 2] = colour
    return pixels


def corners(frame: np.ndarray) -> tuple[str, ...]:
    def nearest(pixel: np.ndarray) -> str:
        return min(COLOURS, key=lambda name: np.abs(pixel.astype(int) - COLOURS[name]).sum())

    return tuple(nearest(frame[row, column]) for row in (5, -6) for column in (5, -6))


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Put a display matrix into the track header of an MP4."""
    a, b, c, d = (value << 16 for value in matrix)
    content = path.read_bytes()
    start = content.index(b"tkhd") + 4 + 40
    numbers = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:start] + numbers + content[start + len(numbers) :])
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_clip_is_shown_as_its_display_matrix_says(make: MediaMaker, orientation: int) -> None:
    matrix, shown = ORIENTATIONS[orientation]
    clip = with_matrix(make.encoded("clip.mp4", frames=np.stack([card()] * 6)), matrix)
    facts = probe(clip)
    assert (facts.width, facts.height) == ((64, 96) if orientation > 4 else (96, 64))
    assert corners(read_clip(clip).frames[0]) == shown
    normalise(clip, make.folder / "normal.mp4")
    assert corners(read_clip(make.folder / "normal.mp4").frames[-1]) == shown


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
def test_a_photo_is_shown_as_exif_says(make: MediaMaker, orientation: int, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(card()).save(make.folder / name, exif=exif)
    assert corners(read_clip(make.folder / name).frames[0]) == ORIENTATIONS[orientation][1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_photos_and_clips_state_the_same_rotation(make: MediaMaker, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(card()).save(make.folder / "photo.jpg", exif=exif)
    clip = with_matrix(make.encoded("clip.mp4", frames=np.stack([card()] * 6)), ORIENTATIONS[orientation][0])
    assert probe(make.folder / "photo.jpg").rotation == probe(clip).rotation


def test_a_matrix_that_is_none_of_the_eight_counts_as_the_nearest() -> None:
    def matrix(a: float, b: float, c: float, d: float) -> bytes:
        numbers = [int(value * (1 << 16)) for value in (a, b, 0, c, d, 0, 0, 0)]
        return struct.pack("=9i", *numbers, 1 << 30)

    turn = np.radians(80)
    assert turn_of(matrix(np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn))).rotation == 90
    assert turn_of(matrix(-2, 0, 0, 2)) == Turn(mirrored=True)
    assert turn_of(matrix(0, 0, 0, 0)) == turn_of(b"") == Turn()


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")
def test_the_mirrored_clip_that_failed_is_mirrored_left_to_right() -> None:
    frame = read_clip(CASES / "hflip.mp4").frames[0]
    assert corners(frame) == ORIENTATIONS[2][1]
