"""A thing cut out of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: What stands around it.
WHITE = 255


@dataclass(frozen=True)
class Cutout:
    """A thing on white."""

    picture: NDArray[np.uint8]  # RGB, shape (S, S, 3): the thing in the middle of a white square
    confidence: float  # of whoever found it, in [0, 1]


def cut_out(picture: NDArray[np.uint8], mask: NDArray[np.bool_], confidence: float) -> Cutout | None:
    """Put what a mask covers on white; None where it covers nothing.

    Args:
        picture: RGB, shape (H, W, 3).
        mask: shape (H, W).
        confidence: in [0, 1].
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cut = np.where(mask[box][..., None], picture[box], WHITE).astype(np.uint8)
    height, width = cut.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = cut
    return Cutout(square, confidence)
