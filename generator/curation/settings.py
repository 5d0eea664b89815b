"""How files are looked at. Loads no OpenCV, so that whoever only reads settings need not, either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from generator.validation import Count, record

FACE_DETECTORS = ("haar", "yunet", "insightface", "mediapipe")
HUMAN_DETECTORS = ("estimated", "transformers")


@dataclass(frozen=True)
class DetectorSettings:
    """Which detectors to load."""

    faces: str = "haar"  # one of `FACE_DETECTORS`
    humans: str = "estimated"  # one of `HUMAN_DETECTORS`
    models: Path | None = None  # folder with `weights.json`; None where nothing needs weights
    allow_non_commercial: bool = False  # whether weights that forbid commercial use may be loaded


@record
class CurationSettings:
    """How closely a file is looked at.

    Raises:
        ValueError: nothing could be found like this.
    """

    max_frames: Count = Field(
        default=48, description="of a clip, so many frames at most are looked at, evenly spaced"
    )
    detection_side: int = Field(
        default=960, ge=64, description="pixels: longer frames are shrunk to this long side for the detectors"
    )
