"""Faces with YuNet through OpenCV: five landmarks, and a coarse head pose from them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.head_pose import head_pose
from generator.curation.detection.protocols import FoundFace
from generator.curation.weights import Weights

#: The least confidence of a face, and the overlap from which two boxes are one face.
_CONFIDENCE, _OVERLAP = 0.7, 0.3
_MOST_FACES = 500


class YuNetFaces:
    """The default where weights are configured.

    Args:
        weights: `face_detection_yunet_2023mar.onnx` of the OpenCV Zoo (MIT), for OpenCV 4.

    Raises:
        ValueError: OpenCV cannot read them.
    """

    def __init__(self, weights: Weights) -> None:
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(weights.path), "", (320, 320), _CONFIDENCE, _OVERLAP, _MOST_FACES
            )
        except cv2.error as error:
            detail = " ".join(str(error).split())
            raise ValueError(f"{weights.path.name} is no YuNet that OpenCV can read: {detail}") from None
        settings = {"confidence": _CONFIDENCE, "overlap": _OVERLAP}
        self.info = DetectorInfo("yunet", f"opencv {cv2.__version__}, {weights.version}", settings)

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """Find faces; see `FaceDetector.find`."""
        height, width = picture.shape[:2]
        self._network.setInputSize((width, height))
        _, rows = self._network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return [
            landmarked_face(Box(*row[:4]), row[14], np.reshape(row[4:14], (5, 2)), width, height)
            for row in ([] if rows is None else rows.tolist())
        ]


def landmarked_face(
    box: Box, confidence: float, points: NDArray[np.float64], width: int, height: int
) -> FoundFace:
    """A face with its head pose, in a frame of width x height pixels.

    Points are eyes, nose and mouth corners in pixels, shape (5, 2), left first as the frame shows them.
    """
    landmarks = tuple((float(across), float(down)) for across, down in points)
    yaw, pitch, roll = head_pose(landmarks, width, height) or (None, None, None)
    return FoundFace(box, float(confidence), landmarks, yaw, pitch, roll)
