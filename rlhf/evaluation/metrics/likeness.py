"""How metrics of likeness compare: which frames, and on which scale they say how alike two things are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from generator.media.video import read_clip
from generator.validation import Count, Stored, record


@record
class LikenessSettings(Stored):
    """How a metric of likeness compares.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    frames: Count = Field(
        default=16,
        description="of a clip, so many at most are looked at, evenly spread, first and last among them",
    )
    scale: Literal["half", "clip"] = Field(
        default="half",
        description="half, (1 + cos) / 2, in which strangers score about 0.5; or clip, max(0, cos)",
    )

    @property
    def words(self) -> str:
        """Which frames, for the facts."""
        return f"{self.frames} at most, evenly spread, first and last among them"


def read_frames(path: Path) -> NDArray[np.uint8]:
    """All frames of a clip in RGB, (F, H, W, 3), or a ValueError that names the file."""
    try:
        return read_clip(path).frames
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None


def spread_frames(path: Path, count: int) -> tuple[list[int], NDArray[np.uint8]]:
    """Evenly spread frames, first and last among them; all of a shorter clip.

    Args:
        path: a clip, or a photo as a clip of one frame.
        count: so many at most, at least 1.

    Returns:
        Their numbers, and the frames in RGB, shape (F, H, W, 3).

    Raises:
        ValueError: the file is not readable; the message names it.
    """
    frames = read_frames(path)
    picks = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return picks.tolist(), frames[picks]


def scaled(cosines: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Cosines as similarities in [0, 1], see `LikenessSettings`; what rounding puts beyond is cut off."""
    similarity = (1 + cosines) / 2 if scale == "half" else cosines
    return np.clip(similarity, 0.0, 1.0)


def closest(vectors: NDArray[np.float64], references: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The cosine of each vector with the closest one of each reference.

    Args:
        vectors: unit vectors, shape (F, D).
        references: unit vectors of each, shape (K, D) with K at least 1.

    Returns:
        Shape (F, R).
    """
    if not len(vectors):
        return np.empty((0, len(references)))
    return np.stack([(vectors @ known.T).max(axis=1) for known in references], axis=1)
