"""Faces with the cascades that OpenCV carries: no weights needed, frontal faces only, head pose unknown.

A cascade fires on sleeves, hands and patterns. So one cascade proposes and two others, trained apart, look at
the place again at one size; what they do not both confirm is no face. A tilted head is looked for in turned
copies of the picture, where the upright one shows no face. Paintings and drawings of faces are faces to it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.protocols import FoundFace, without_nested

_PROPOSES, _CONFIRM = "alt2", ("alt", "default")
#: Pixels to which the long side is brought for small faces, and for tilted ones; never more than doubled.
_SIDE, _TILTED_SIDE = 960, 640
#: The smallest face, as a share of the long side.
_SMALLEST = 0.03
#: Degrees by which a picture is turned, clockwise first, the smaller ones first.
_TILTS = (-20.0, 20.0, -40.0, 40.0)
#: Votes of neighbouring windows that a cascade needs, when it proposes and when it confirms.
_NEIGHBOURS, _CONFIRMING_NEIGHBOURS = 3, 5
#: Pixels of a face when it is confirmed, and the sizes around it that count as the same face.
_CONFIRMED_SIDE, _CONFIRMED_RANGE = 60, (0.6, 1.6)
#: Two boxes are of one face where the smaller one lies in the other with this share.
_SAME = 0.6

_Grey = NDArray[np.uint8]


class HaarFaces:
    """The offline floor among the face detectors."""

    def __init__(self) -> None:
        folder = Path(cv2.__file__).parent / "data"
        names = (_PROPOSES, *_CONFIRM)
        self._cascades = {
            name: cv2.CascadeClassifier(str(folder / f"haarcascade_frontalface_{name}.xml")) for name in names
        }
        settings = {
            "proposes": _PROPOSES,
            "confirm": list(_CONFIRM),
            "side": _SIDE,
            "tilted_side": _TILTED_SIDE,
            "tilts": list(_TILTS),
            "smallest": _SMALLEST,
        }
        self.info = DetectorInfo("haar", f"opencv {cv2.__version__}", settings)

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """Find frontal faces; see `FaceDetector.find`."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        boxes = self._upright(*_resized(grey, _SIDE)) or self._tilted(*_resized(grey, _TILTED_SIDE))
        return without_nested([FoundFace(box) for box in boxes])

    def _upright(self, grey: _Grey, scale: float) -> list[Box]:
        smallest = max(20, round(_SMALLEST * max(grey.shape)))
        proposed = self._cascades[_PROPOSES].detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=_NEIGHBOURS, minSize=(smallest, smallest)
        )
        boxes = [Box(*map(float, item)) for item in proposed]
        return [box.scaled(1 / scale, 1 / scale) for box in boxes if self._is_confirmed(grey, box)]

    def _tilted(self, grey: _Grey, scale: float) -> list[Box]:
        height, width = grey.shape
        for tilt in _TILTS:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), -tilt, 1.0)
            turned = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            back = cv2.invertAffineTransform(turn)
            if boxes := self._upright(turned.astype(np.uint8), 1.0):
                return [_moved(box, back).scaled(1 / scale, 1 / scale) for box in boxes]
        return []

    def _is_confirmed(self, grey: _Grey, box: Box) -> bool:
        """Whether the other cascades see a face there, too."""
        margin, scale = box.width / 2, _CONFIRMED_SIDE / box.width
        left, top = max(0, int(box.left - margin)), max(0, int(box.top - margin))
        crop = grey[top : int(box.bottom + margin), left : int(box.right + margin)]
        crop, _ = _resized(crop, round(scale * max(crop.shape)), most=math.inf)
        low, high = (round(share * _CONFIRMED_SIDE) for share in _CONFIRMED_RANGE)
        wanted = Box(box.left - left, box.top - top, box.width, box.height).scaled(scale, scale)
        return all(
            any(
                wanted.overlap(Box(*map(float, item))) > _SAME
                for item in self._cascades[name].detectMultiScale(
                    crop,
                    scaleFactor=1.05,
                    minNeighbors=_CONFIRMING_NEIGHBOURS,
                    minSize=(low, low),
                    maxSize=(high, high),
                )
            )
            for name in _CONFIRM
        )


def _resized(grey: _Grey, side: int, most: float = 2.0) -> tuple[_Grey, float]:
    scale = min(side / max(grey.shape), most)
    size = [max(1, round(scale * length)) for length in reversed(grey.shape)]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(grey, size, interpolation=how).astype(np.uint8, copy=False), scale


def _moved(box: Box, affine: NDArray[Any]) -> Box:
    """The upright box of the same size around where its centre goes."""
    centre = (box.left + box.width / 2, box.top + box.height / 2, 1.0)
    across, down = (float(value) for value in affine @ centre)
    return Box(across - box.width / 2, down - box.height / 2, box.width, box.height)
