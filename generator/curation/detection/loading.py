"""Which detectors a run uses, by settings. Their libraries and weights are opened only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from generator.curation.detection.bodies import EstimatedHumans
from generator.curation.detection.haar import HaarFaces
from generator.curation.detection.landmarker import MediaPipeFaces
from generator.curation.detection.protocols import Detectors, FaceDetector, HumanDetector, needed
from generator.curation.detection.scrfd import SCRFDFaces
from generator.curation.detection.yunet import YuNetFaces
from generator.curation.settings import FACE_DETECTORS, HUMAN_DETECTORS, DetectorSettings
from generator.curation.weights import Weights, find_weights

#: Each with its name in the weights manifest, where it needs any.
_WEIGHTED_FACES: Mapping[str, tuple[str, Callable[[Weights], FaceDetector]]] = {
    "yunet": ("yunet", YuNetFaces),
    "insightface": ("scrfd", SCRFDFaces),
    "mediapipe": ("face_landmarker", MediaPipeFaces),
}
#: The transformers detector's name in the weights manifest; its file is a folder.
_HUMAN_WEIGHTS = "human_detector"


def load_detectors(settings: DetectorSettings | None = None) -> Detectors:
    """Open the detectors that the settings name.

    Raises:
        ValueError: one line: no such detector, or weights that are missing, altered or not allowed.
        ImportError: one line that names the library to install.
    """
    settings = settings or DetectorSettings()
    if settings.faces not in FACE_DETECTORS:
        raise ValueError(f"no face detector {settings.faces!r}; there are {', '.join(FACE_DETECTORS)}")
    if settings.humans not in HUMAN_DETECTORS:
        raise ValueError(f"no human detector {settings.humans!r}; there are {', '.join(HUMAN_DETECTORS)}")
    return Detectors(_load_faces(settings), _load_humans(settings))


def _load_faces(settings: DetectorSettings) -> FaceDetector:
    if settings.faces == "haar":
        return HaarFaces()
    name, load = _WEIGHTED_FACES[settings.faces]
    return load(_weights(settings, name))


def _load_humans(settings: DetectorSettings) -> HumanDetector:
    if settings.humans == "estimated":
        return EstimatedHumans()
    weights = _weights(settings, _HUMAN_WEIGHTS)
    # Loaded by name: it needs torch, and everything else here does without.
    module = needed("generator.curation.detection.human_detector", "torch transformers")
    detector: HumanDetector = module.HumanModel(weights)
    return detector


def _weights(settings: DetectorSettings, name: str) -> Weights:
    return find_weights(settings.models, name, allow_non_commercial=settings.allow_non_commercial)
