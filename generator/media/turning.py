"""How a stored picture is turned and mirrored to be shown: a display matrix as one of EXIF's eight cases."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: 3 x 3 fixed-point numbers in the machine's byte order, as FFmpeg hands them on.
_MATRIX = struct.Struct("=9i")


@dataclass(frozen=True)
class Turn:
    """Rows and columns change places, or not; then the picture is mirrored, or not."""

    transposed: bool = False  # whether rows become columns
    mirrored: bool = False  # left to right, after that
    flipped: bool = False  # top to bottom, after that

    @property
    def rotation(self) -> int:
        """Degrees clockwise, 0, 90, 180 or 270; where the picture is mirrored, too, those of EXIF's cases."""
        if self.transposed:
            return 270 if self.flipped else 90
        return 180 if self.flipped else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown from those as stored, and the other way round."""
        return (height, width) if self.transposed else (width, height)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture as shown, of one as stored (height, width, 3)."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        shown = pixels[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(shown)


def turn_of(matrix: bytes) -> Turn:
    """Read a display matrix as FFmpeg attaches it to a frame.

    It sends the stored point (x, y) to (a x + c y, b x + d y), and begins with a, b, 0, c, d. A matrix that
    also slants or scales, which no camera writes, counts as the nearest of the eight cases. A frame without
    one has no bytes here.
    """
    if len(matrix) != _MATRIX.size:
        return Turn()
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(transposed=True, mirrored=c < 0, flipped=b < 0)
    return Turn(mirrored=a < 0, flipped=d < 0)
