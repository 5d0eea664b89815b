"""Faces with insightface's SCRFD, as in the paper's antelopev2: weights for non-commercial research only."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, DetectorInfo
from generator.curation.detection.protocols import FoundFace, needed
from generator.curation.detection.yunet import landmarked_face
from generator.curation.weights import Weights

#: The square that the network sees. Fixed, because insightface's default changed with its version 1.0.
DET_SIZE = (640, 640)
_CONFIDENCE = 0.5


class SCRFDFaces:
    """Opt-in: the weights forbid commercial use.

    Args:
        weights: the detection network of a pack, such as `antelopev2/scrfd_10g_bnkps.onnx`.

    Raises:
        ImportError: insightface is not installed.
    """

    def __init__(self, weights: Weights) -> None:
        """Load the network from its own file, so that insightface downloads no pack."""
        model_zoo = needed("insightface.model_zoo", "insightface onnxruntime")
        self._network = model_zoo.get_model(str(weights.path), providers=["CPUExecutionProvider"])
        self._network.prepare(ctx_id=-1, input_size=DET_SIZE, det_thresh=_CONFIDENCE)
        pack = weights.path.parent.name
        settings = {"pack": pack, "det_size": list(DET_SIZE), "confidence": _CONFIDENCE}
        self.info = DetectorInfo(
            "insightface", f"insightface {version('insightface')}, {weights.version}", settings
        )

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """Find faces; see `FaceDetector.find`."""
        height, width = picture.shape[:2]
        boxes, points = self._network.detect(np.ascontiguousarray(picture[:, :, ::-1]), input_size=DET_SIZE)
        return [
            landmarked_face(Box.between(*corners), confidence, five, width, height)
            for (*corners, confidence), five in zip(boxes.tolist(), points, strict=True)
        ]
