"""Which detectors a run uses, by settings. Their libraries and weights are opened only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from generator.curation.detection import Detectors


@dataclass(frozen=True)
class DetectorSettings:
    """Which detectors to load.

    Attributes:
        faces: `haar` (needs no weights), `yunet`, `insightface` or `mediapipe`.
        humans: `estimated` (from the face) or `transformers`.
        models: folder with `weights.json`; None where nothing needs weights.
        allow_non_commercial: whether weights that forbid commercial use may be loaded.
    """

    faces: str = "haar"
    humans: str = "estimated"
    models: Path | None = None
    allow_non_commercial: bool = False


def load_detectors(settings: DetectorSettings = DetectorSettings()) -> Detectors:
    """Open the detectors that the settings name.

    Raises:
        ValueError: one line: no such detector, or weights that are missing, altered or not allowed.
        ImportError: one line that names the library to install.
    """
    raise NotImplementedError
