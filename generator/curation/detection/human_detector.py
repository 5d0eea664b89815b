"""Bodies with a transformers detector, such as RT-DETR or D-FINE, from a local folder.

The only detector that needs torch: `loading` imports it by name, and only where the settings ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from generator.curation.annotation import Box, DetectorInfo, Human
from generator.curation.detection.protocols import FoundFace
from generator.curation.weights import Weights

#: The least confidence of a body.
CONFIDENCE = 0.5
_LABEL = "person"


class HumanModel:
    """Any object detector that `AutoModelForObjectDetection` loads and that knows the label `person`.

    It runs on the accelerator where there is one.

    Args:
        weights: a folder with model and image processor, safetensors only.

    Raises:
        ValueError: it is no such model.
    """

    def __init__(self, weights: Weights) -> None:
        try:
            self._processor = AutoImageProcessor.from_pretrained(weights.path, local_files_only=True)
            self._model = AutoModelForObjectDetection.from_pretrained(
                weights.path, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError) as error:
            detail = " ".join(str(error).split())
            raise ValueError(f"{weights.path.name} is no object detector of transformers: {detail}") from None
        labels = self._model.config.id2label
        self._people = [number for number, label in labels.items() if label.lower() == _LABEL]
        if not self._people:
            raise ValueError(f"{weights.path.name} knows no label {_LABEL!r}; use a detector of people")
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        version = f"transformers {transformers.__version__}, {weights.version}"
        self.info = DetectorInfo(self._model.config.model_type, version, {"confidence": CONFIDENCE})

    @torch.inference_mode()
    def find(self, picture: NDArray[np.uint8], faces: Sequence[FoundFace]) -> list[Human]:
        """Find bodies, whatever the faces; see `HumanDetector.find`."""
        inputs = self._processor(images=Image.fromarray(picture), return_tensors="pt")
        outputs = self._model(**inputs.to(self._model.device))
        (detected,) = self._processor.post_process_object_detection(
            outputs, threshold=CONFIDENCE, target_sizes=[picture.shape[:2]]
        )
        height, width = picture.shape[:2]
        return [
            Human(_within(box, width, height), is_estimated=False, confidence=score)
            for score, label, box in zip(
                *(detected[name].tolist() for name in ("scores", "labels", "boxes")), strict=True
            )
            if label in self._people
        ]


def _within(corners: Sequence[float], width: int, height: int) -> Box:
    edges = zip(corners, (width, height, width, height), strict=True)
    return Box.between(*(min(max(float(edge), 0.0), float(limit)) for edge, limit in edges))
