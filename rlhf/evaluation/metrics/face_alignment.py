"""The largest face of a picture, brought to the place where embedders of faces expect it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box
from generator.curation.detection import FaceDetector, FoundFace

#: Pixels of a crop, and where in it ArcFace and its kin were shown eyes, nose and mouth corners.
CROP_SIDE = 112
PLACES = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
#: Around a box without landmarks, on each side, as a share of its longer side.
BOX_MARGIN = 0.1
#: Around a picture that shows no face, on each side, before it is looked at again: detectors miss faces that
#: fill the picture, as crops of faces do.
RETRY_MARGIN, _RETRY_GREY = 0.25, (128, 128, 128)
#: What the facts of a metric say of all this.
ALIGNMENT = {
    "face": "the largest",
    "retry": f"with {RETRY_MARGIN:.0%} of grey on each side",
    "alignment": f"similarity by five landmarks, else the box and {BOX_MARGIN:.0%} on each side",
}


def face_crop(picture: NDArray[np.uint8], detector: FaceDetector) -> NDArray[np.uint8] | None:
    """Cut out the largest face.

    Args:
        picture: RGB, shape (H, W, 3).
        detector: finds faces.

    Returns:
        RGB, shape (112, 112, 3); None where there is no face.
    """
    found = detector.find(picture)
    if not found:
        above, beside = (round(RETRY_MARGIN * side) for side in picture.shape[:2])
        picture = cv2.copyMakeBorder(
            picture, above, above, beside, beside, cv2.BORDER_CONSTANT, value=_RETRY_GREY
        ).astype(np.uint8, copy=False)
        found = detector.find(picture)
    if not found:
        return None
    move = to_crop(max(found, key=lambda face: face.box.area))
    return cv2.warpAffine(picture, move, (CROP_SIDE, CROP_SIDE)).astype(np.uint8, copy=False)


def to_crop(face: FoundFace) -> NDArray[np.float64]:
    """Where points of the picture lie in the crop, as a (2, 3) matrix."""
    if face.landmarks is None:
        return _box_to_crop(face.box)
    return similarity(np.asarray(face.landmarks, np.float64), PLACES)


def similarity(points: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn, scale and shift `points` to lie closest to `places`, in the sense of least squares.

    In the plane a turn with a scale is one complex number a: min over a, b of sum |places - a points - b|^2.

    Args:
        points: shape (N, 2), not all equal.
        places: shape (N, 2).

    Returns:
        The (2, 3) matrix of the map.
    """
    start, end = (xy[:, 0] + 1j * xy[:, 1] for xy in (points, places))
    centred = start - start.mean()
    turn = np.vdot(centred, end - end.mean()) / np.vdot(centred, centred).real
    shift = end.mean() - turn * start.mean()
    return np.array([(turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)])


def _box_to_crop(box: Box) -> NDArray[np.float64]:
    """The square around the box's middle, upright."""
    scale = CROP_SIDE / ((1 + 2 * BOX_MARGIN) * max(box.width, box.height))
    across, down = box.left + box.width / 2, box.top + box.height / 2
    middle = (CROP_SIDE - 1) / 2
    return np.array([(scale, 0, middle - scale * across), (0, scale, middle - scale * down)])
