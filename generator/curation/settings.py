"""How files are looked at. Loads no OpenCV, so that whoever only reads settings need not, either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FACE_DETECTORS = ("haar", "yunet", "insightface", "mediapipe")
HUMAN_DETECTORS = ("estimated", "transformers")


@dataclass(frozen=True)
class DetectorSettings:
    """Which detectors to load.

    Attributes:
        faces: one of `FACE_DETECTORS`.
        humans: one of `HUMAN_DETECTORS`.
        models: folder with `weights.json`; None where nothing needs weights.
        allow_non_commercial: whether weights that forbid commercial use may be loaded.
    """

    faces: str = "haar"
    humans: str = "estimated"
    models: Path | None = None
    allow_non_commercial: bool = False


@dataclass(frozen=True)
class CurationSettings:
    """How closely a file is looked at.

    Attributes:
        max_frames: of a clip, so many frames at most are looked at, evenly spaced.
        detection_side: pixels: longer frames are shrunk to this long side for the detectors.
    """

    max_frames: int = 48
    detection_side: int = 960

    def __post_init__(self) -> None:
        """Refuse what finds nothing."""
        if self.max_frames < 1:
            raise ValueError(f"max_frames is {self.max_frames}; look at 1 frame at least")
        if self.detection_side < 64:
            raise ValueError(f"detection_side is {self.detection_side}; give 64 pixels at least")
