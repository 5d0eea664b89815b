"""What detectors saw in one file, frame by frame: read by curation, augmentation and evaluation alike.

`docs/annotation_record.md` describes the stored form. Everything unknown is None, never 0.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from generator.media import replacing
from generator.validation import Number, read, record

ANNOTATION_NAME = "annotation.json.gz"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright frame."""

    left: Number
    top: Number
    width: Number
    height: Number

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """How much of the smaller one of two boxes lies in the other, in [0, 1]: 1 where it is contained."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        smaller = min(self.area, other.area)
        return max(across, 0.0) * max(down, 0.0) / smaller if smaller else 0.0


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
        box: from brow to chin, as the detector draws it.
        confidence: in [0, 1], or None where the detector gives none.
        landmarks: pixels of the frame: the eye, the eye, the nose's tip, the mouth's corner, the mouth's
            corner, left before right as the frame shows them; None where the detector gives none.
        yaw: degrees, positive where the nose points to the right side of the frame; None: unknown.
        pitch: degrees, positive where it points up; None: unknown.
        roll: degrees, positive where the head tilts clockwise as the frame shows it; None: unknown.
        blur: variance of the Laplacian of the face as a grey crop of fixed size; higher is sharper.
    """

    box: Box
    confidence: Number | None
    landmarks: tuple[tuple[Number, Number], ...] | None
    yaw: Number | None
    pitch: Number | None
    roll: Number | None
    blur: Number


@dataclass(frozen=True)
class Human:
    """One person's body in one frame.

    Attributes:
        box: as far as the frame shows it.
        is_estimated: drawn from the face box, where no human detector is configured.
        confidence: in [0, 1]; None where it is estimated.
    """

    box: Box
    is_estimated: bool
    confidence: Number | None


@dataclass(frozen=True)
class FrameAnnotation:
    """One frame.

    Attributes:
        index: frame number in the file, 0 first.
        faces: in no order.
        humans: in no order.
    """

    index: int
    faces: tuple[Face, ...]
    humans: tuple[Human, ...]


@dataclass(frozen=True)
class DetectorInfo:
    """Which detector looked, in enough detail to look again.

    Attributes:
        name: such as `haar`.
        version: of the library, and the start of the weights' sha256 where there are any.
        settings: all that changes what it finds; values are plain JSON.
    """

    name: str
    version: str
    settings: Mapping[str, Any]


@record
class ClipAnnotation:
    """One file, photo or clip.

    Attributes:
        sha256: of the file's bytes.
        width: pixels, upright.
        height: pixels, upright.
        num_frames: decoded frames of the file; 1 for a photo.
        fps: frames per second; 0 for a photo.
        shots: [start, end) frame spans that cover the file in order.
        frames: frames 0, `stride`, 2 `stride`, ...
        stride: 1 where every frame was looked at.
        face_detector: what found the faces.
        human_detector: what found the bodies.
    """

    sha256: str
    width: int
    height: int
    num_frames: int
    fps: Number
    shots: tuple[tuple[int, int], ...]
    frames: tuple[FrameAnnotation, ...]
    stride: int
    face_detector: DetectorInfo
    human_detector: DetectorInfo


def save_annotation(path: Path | str, annotation: ClipAnnotation) -> None:
    """Write a record as gzipped JSON, atomically; equal records give equal bytes.

    Raises:
        ValueError: a number is not finite.
        OSError: it cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, **asdict(annotation)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def load_annotation(path: Path | str) -> ClipAnnotation:
    """Read a record.

    Raises:
        ValueError: one line: damaged, or of another schema version.
        OSError: it cannot be opened.
    """
    content = Path(path).read_bytes()
    try:
        found = json.loads(gzip.decompress(content), parse_constant=_refuse_constant)
        version = found.pop("schema_version")
        if version == SCHEMA_VERSION:
            return read(ClipAnnotation, found)
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise ValueError(f"{Path(path).name} is no annotation record: {detail}; annotate again") from None
    raise ValueError(
        f"{Path(path).name} has schema version {version}, not {SCHEMA_VERSION}; annotate the file again"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
