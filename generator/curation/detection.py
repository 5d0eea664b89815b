"""What a detector is: two small protocols, and the pair of them that one run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo, Human


@dataclass(frozen=True)
class FoundFace:
    """A face as a detector gives it, before anything is measured on it; see `annotation.Face`."""

    box: Box
    confidence: float | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None


class FaceDetector(Protocol):
    """Finds faces in one picture."""

    @property
    def info(self) -> DetectorInfo:
        """What it is, for the record."""
        ...

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """Find every face.

        Args:
            picture: RGB, shape (H, W, 3).

        Returns:
            Faces in pixels of the picture, each person once.
        """
        ...


class HumanDetector(Protocol):
    """Finds whole people in one picture."""

    @property
    def info(self) -> DetectorInfo:
        """What it is, for the record."""
        ...

    def find(self, picture: NDArray[np.uint8], faces: Sequence[FoundFace]) -> list[Human]:
        """Find every body.

        Args:
            picture: RGB, shape (H, W, 3).
            faces: of the same picture, for detectors that draw bodies around them.

        Returns:
            Bodies in pixels of the picture.
        """
        ...


@dataclass(frozen=True)
class Detectors:
    """What one run looks with."""

    faces: FaceDetector
    humans: HumanDetector
