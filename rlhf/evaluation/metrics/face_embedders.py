"""What tells faces apart: ArcFace, CurricularFace and SFace behind one protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.detection.protocols import needed
from generator.curation.weights import Weights

#: Crops to a network at once.
_BATCH = 16
#: What ArcFace and CurricularFace were trained on: (pixel - 127.5) / 127.5.
_MIDDLE = 127.5


class Embedder(Protocol):
    """Faces as vectors; those of one person lie close."""

    @property
    def name(self) -> str:
        """What it is, for the facts."""
        ...

    @property
    def weights(self) -> Weights:
        """What it was loaded from."""
        ...

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Embed one or more faces, RGB (B, 112, 112, 3), each by itself, as unit vectors (B, D)."""
        ...


class SFace:
    """The permissive default.

    Args:
        weights: `face_recognition_sface_2021dec.onnx` of the OpenCV Zoo (Apache-2.0).

    Raises:
        ValueError: OpenCV cannot read them.
    """

    def __init__(self, weights: Weights) -> None:
        """Load the network."""
        self.weights = weights
        self.name = "SFace (cv2.FaceRecognizerSF)"
        try:
            self._network = cv2.FaceRecognizerSF.create(str(weights.path), "")
        except cv2.error as error:
            raise _unreadable(weights, "SFace that OpenCV can read", error) from None

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Embed one by one, as OpenCV does; see `Embedder.embed`."""
        # `feature` hands out its own buffer, which the next call writes over.
        return _unit([self._network.feature(np.ascontiguousarray(crop[..., ::-1])).copy() for crop in crops])


class ArcFace:
    """The paper's: opt-in, the weights of insightface forbid commercial use.

    Args:
        weights: an ONNX of arcface_torch, such as `antelopev2/glintr100.onnx`.

    Raises:
        ValueError: OpenCV cannot read them.
    """

    def __init__(self, weights: Weights) -> None:
        """Load the network into OpenCV, which needs no library more."""
        self.weights = weights
        self.name = "ArcFace (cv2.dnn)"
        try:
            self._network = cv2.dnn.readNetFromONNX(str(weights.path))
        except cv2.error as error:
            raise _unreadable(weights, "ONNX that OpenCV can read", error) from None

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Embed one by one, since some exports fix the batch; see `Embedder.embed`."""
        rows = []
        for crop in crops:
            self._network.setInput(cv2.dnn.blobFromImage(crop, 1 / _MIDDLE, mean=(_MIDDLE,) * 3))
            rows.append(self._network.forward().copy())
        return _unit(rows)


class CurricularFace:
    """The paper's second: opt-in, since no licence was found for its weights.

    Args:
        weights: the IR-101 of TFace as safetensors.

    Raises:
        ValueError: they are of no such network.
        ImportError: torch or safetensors is not installed.
    """

    def __init__(self, weights: Weights) -> None:
        """Load the network, on the accelerator where there is one."""
        self.weights = weights
        self.name = "CurricularFace (IR by torch)"
        if weights.path.suffix != ".safetensors":
            raise ValueError(
                f"{weights.path.name} is no safetensors file; convert it, pickled weights are never read"
            )
        self._torch = needed("torch", "torch")
        file = needed("safetensors.torch", "safetensors")
        network = needed("rlhf.evaluation.metrics.face_network", "torch")
        try:
            self._network = network.network_of(file.load_file(weights.path))
        except (ValueError, needed("safetensors", "safetensors").SafetensorError) as error:
            raise _unreadable(weights, "CurricularFace backbone", error) from None

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Embed in batches; see `Embedder.embed`."""
        device = next(self._network.parameters()).device
        rows = []
        with self._torch.inference_mode():
            for start in range(0, len(crops), _BATCH):
                batch = self._torch.from_numpy(np.ascontiguousarray(crops[start : start + _BATCH]))
                batch = (batch.to(device).permute(0, 3, 1, 2).float() - _MIDDLE) / _MIDDLE
                rows += list(self._network(batch).cpu().numpy())
        return _unit(rows)


def _unit(rows: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    vectors = np.stack([np.asarray(row, np.float64).reshape(-1) for row in rows])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _unreadable(weights: Weights, kind: str, error: Exception) -> ValueError:
    return ValueError(f"{weights.path.name} is no {kind}: {' '.join(str(error).split())[:300]}")
