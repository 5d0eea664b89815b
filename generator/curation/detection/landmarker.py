"""Faces with MediaPipe's Face Landmarker: the head pose comes from its own face model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.head_pose import Angles, angles
from generator.curation.detection.protocols import FoundFace, needed
from generator.curation.weights import Weights

#: Both corners of each eye, the nose's tip and the mouth's corners among the 478 points of the face mesh.
_LEFT_EYE, _RIGHT_EYE, _NOSE, _MOUTH = (33, 133), (362, 263), 1, (61, 291)
_MOST_FACES = 20
#: From its axes (y up, z towards the camera) to those of `head_pose` (y down, z away).
_FLIP = np.diag((1.0, -1.0, -1.0))


class MediaPipeFaces:
    """Opt-in.

    Args:
        weights: `face_landmarker.task` (Apache-2.0).

    Raises:
        ImportError: mediapipe is not installed.
    """

    def __init__(self, weights: Weights) -> None:
        # With its needs it would bring in a second OpenCV.
        self._mediapipe = needed("mediapipe", "--no-deps mediapipe absl-py flatbuffers sounddevice")
        vision = needed("mediapipe.tasks.python.vision", "mediapipe")
        base = self._mediapipe.tasks.BaseOptions(model_asset_path=str(weights.path))
        options = vision.FaceLandmarkerOptions(
            base_options=base, num_faces=_MOST_FACES, output_facial_transformation_matrixes=True
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self.info = DetectorInfo(
            "mediapipe", f"mediapipe {version('mediapipe')}, {weights.version}", {"most_faces": _MOST_FACES}
        )

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """Find faces; see `FaceDetector.find`."""
        height, width = picture.shape[:2]
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
        )
        result = self._landmarker.detect(image)
        return [
            mesh_face(np.array([(point.x * width, point.y * height) for point in mesh]), matrix)
            for mesh, matrix in zip(result.face_landmarks, result.facial_transformation_matrixes, strict=True)
        ]


def mesh_face(mesh: NDArray[np.float64], matrix: Sequence[Sequence[float]] | NDArray[Any]) -> FoundFace:
    """A face from its mesh (478, 2) in pixels, and the matrix (4, 4) that moves the average face."""
    box = Box.between(*mesh.min(axis=0).tolist(), *mesh.max(axis=0).tolist())
    five = (
        mesh[list(_LEFT_EYE)].mean(axis=0),
        mesh[list(_RIGHT_EYE)].mean(axis=0),
        mesh[_NOSE],
        *mesh[list(_MOUTH)],
    )
    yaw, pitch, roll = mesh_pose(np.asarray(matrix, float))
    landmarks = tuple((float(across), float(down)) for across, down in five)
    return FoundFace(box, None, landmarks, yaw, pitch, roll)


def mesh_pose(matrix: NDArray[np.float64]) -> Angles:
    """Yaw, pitch and roll in degrees of a transformation that may also scale, shape (4, 4)."""
    rotation = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return angles(_FLIP @ rotation @ _FLIP)
