"""How sharp a face is, on a scale that does not depend on its size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box

#: Pixels of the grey crop on which sharpness is measured.
CROP = 112


def sharpness(picture: NDArray[np.uint8], box: Box) -> float:
    """Variance of the Laplacian of a face, shrunk or enlarged to 112 x 112 grey pixels; higher is sharper.

    Args:
        picture: RGB, shape (H, W, 3), at full size.
        box: of the face; what of it lies outside of the picture is left out.

    Returns:
        0 for an even area, about 100 for an ordinary portrait, thousands for noise.
    """
    height, width = picture.shape[:2]
    left, top = (min(max(round(start), 0), end - 1) for start, end in ((box.left, width), (box.top, height)))
    crop = picture[top : max(top + 1, round(box.bottom)), left : max(left + 1, round(box.right))]
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    how = cv2.INTER_AREA if min(grey.shape) > CROP else cv2.INTER_LINEAR
    return float(cv2.Laplacian(cv2.resize(grey, (CROP, CROP), interpolation=how), cv2.CV_64F).var())
