"""From one file to its annotation record: decode, shots, faces, bodies.

Two passes over the file, each holding one frame at a time: the first counts frames and finds the cuts, the
second looks at evenly spaced frames with the detectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from generator.curation.annotation import ClipAnnotation
from generator.curation.detection import Detectors


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


def annotate_media(
    path: Path | str, detectors: Detectors, settings: CurationSettings = CurationSettings()
) -> ClipAnnotation:
    """Look at one file.

    Args:
        path: a photo or a clip, normalised or not.
        detectors: what to look with.
        settings: how closely.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
