"""Bodies drawn around faces, where no human detector is configured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo, Human
from generator.curation.detection.protocols import FoundFace

#: A person in faces: shoulders are three face widths; above the face box is hair; a body has seven heads.
WIDTH, ABOVE, HEIGHT = 3.0, 0.5, 7.5


class EstimatedHumans:
    """A body of average proportions below every face, as far as the frame shows it."""

    def __init__(self) -> None:
        self.info = DetectorInfo("estimated", "1", {"width": WIDTH, "above": ABOVE, "height": HEIGHT})

    def find(self, picture: NDArray[np.uint8], faces: Sequence[FoundFace]) -> list[Human]:
        """One body a face; see `HumanDetector.find`."""
        height, width = picture.shape[:2]
        return [Human(_body(face.box, width, height), is_estimated=True, confidence=None) for face in faces]


def _body(face: Box, width: int, height: int) -> Box:
    left = max(0.0, face.left + face.width * (1 - WIDTH) / 2)
    right = min(float(width), face.left + face.width * (1 + WIDTH) / 2)
    top = max(0.0, face.top - ABOVE * face.height)
    bottom = min(float(height), face.top + (HEIGHT - ABOVE) * face.height)
    return Box.between(left, top, right, bottom)
