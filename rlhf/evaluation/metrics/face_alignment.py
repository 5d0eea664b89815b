"""The largest face of a picture, brought to the place where embedders of faces expect it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box
from generator.curation.detection.protocols import FaceDetector, FoundFace
from generator.media.video import fit

#: Pixels of a crop, and where in it ArcFace and its kin were shown eyes, nose and mouth corners.
CROP_SIDE = 112
PLACES = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
#: How a picture is shown to a detector until it finds a face: pixels of the long side, never enlarged, and
#: the grey around it on each side. Detectors miss faces that fill the picture, as crops of faces do.
LOOKS = ((960, 0.0), (320, 0.25))
_GREY = (128, 128, 128)
#: What the facts of a metric say of all this.
ALIGNMENT = {
    "face": "the largest",
    "looks": " then ".join(f"at {side} pixels, {margin:.0%} of grey around" for side, margin in LOOKS),
    "alignment": "similarity by five landmarks; of a box without any, the square of its longer side",
}
_Picture = NDArray[np.uint8]
#: Matrices of maps of the plane, (2, 3) or (3, 3), from pixels to pixels.
_Map = NDArray[np.float64]


def face_crop(picture: _Picture, detector: FaceDetector) -> _Picture | None:
    """Cut out the largest face.

    Args:
        picture: RGB, shape (H, W, 3).
        detector: finds faces.

    Returns:
        RGB, shape (112, 112, 3); None where there is no face.
    """
    for side, margin in LOOKS:
        shown, to_shown = _shown(picture, side, margin)
        if faces := detector.find(shown):
            return _cropped(picture, to_crop(max(faces, key=lambda face: face.box.area)) @ to_shown)
    return None


def _shown(picture: _Picture, side: int, margin: float) -> tuple[_Picture, _Map]:
    """A picture as a detector sees it, and where its pixels are there."""
    height, width = picture.shape[:2]
    small, to_small = _shrunk(picture, fit((width, height), side))
    above, beside = (round(margin * length) for length in small.shape[:2])
    framed = cv2.copyMakeBorder(small, above, above, beside, beside, cv2.BORDER_CONSTANT, value=_GREY)
    shift = np.array([(1, 0, beside), (0, 1, above), (0, 0, 1)])
    return framed.astype(np.uint8, copy=False), shift @ to_small


def _shrunk(picture: _Picture, size: tuple[int, int]) -> tuple[_Picture, _Map]:
    """A picture at (width, height), and where its pixels are there: their middles, not their corners."""
    across, down = size[0] / picture.shape[1], size[1] / picture.shape[0]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, np.array([(across, 0, (across - 1) / 2), (0, down, (down - 1) / 2), (0, 0, 1)])


def _cropped(picture: _Picture, move: _Map) -> _Picture:
    """By way of a smaller picture where the face is large, since a map alone would skip pixels of it."""
    height, width = picture.shape[:2]
    if (twice := 2 * float(np.hypot(move[0, 0], move[1, 0]))) < 1:
        picture, to_small = _shrunk(picture, (max(1, round(twice * width)), max(1, round(twice * height))))
        move = move @ np.linalg.inv(to_small)
    return cv2.warpAffine(picture, move, (CROP_SIDE, CROP_SIDE)).astype(np.uint8, copy=False)


def to_crop(face: FoundFace) -> _Map:
    """Where points of the picture lie in the crop, as a (2, 3) matrix."""
    if face.landmarks is None:
        return _box_to_crop(face.box)
    return similarity(np.asarray(face.landmarks, np.float64), PLACES)


def similarity(points: NDArray[np.float64], places: NDArray[np.float64]) -> _Map:
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


def _box_to_crop(box: Box) -> _Map:
    """The upright square around the box's middle: of a cascade's box it has eyes and mouth near `PLACES`."""
    scale = CROP_SIDE / max(box.width, box.height)
    across, down = box.left + box.width / 2, box.top + box.height / 2
    middle = (CROP_SIDE - 1) / 2
    return np.array([(scale, 0, middle - scale * across), (0, scale, middle - scale * down)])
