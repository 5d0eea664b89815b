"""What a detector is: two small protocols, and the pair of them that one run uses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo, Human

#: A face is nested where more than this share of it lies in a larger one.
_NESTED = 0.6


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


def without_nested(faces: Sequence[FoundFace]) -> list[FoundFace]:
    """Each person once: of faces of which one holds most of the other, the larger.

    Overlap by intersection over union would miss a small box within a large one.
    """
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda face: face.box.area, reverse=True):
        if all(face.box.overlap(other.box) <= _NESTED for other in kept):
            kept.append(face)
    return kept


@dataclass(frozen=True)
class Detectors:
    """What one run looks with."""

    faces: FaceDetector
    humans: HumanDetector


def needed(module: str, packages: str) -> Any:
    """Import a library that only some users install.

    Raises:
        ImportError: one line that says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} cannot be loaded ({error}); pip install {packages}") from None
