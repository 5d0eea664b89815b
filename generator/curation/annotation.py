"""What detectors saw in one file, frame by frame: read by curation, augmentation and evaluation alike.

`docs/annotation_record.md` describes the stored form. Everything unknown is None, never 0.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field

from generator.files import replacing
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

    @classmethod
    def between(cls, left: float, top: float, right: float, bottom: float) -> Box:
        """The box of its edges."""
        return cls(left, top, right - left, bottom - top)

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.top + self.height

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def side(self) -> float:
        """Of a square of the same area."""
        return math.sqrt(self.area)

    def scaled(self, across: float, down: float) -> Box:
        """The same part of a picture of another size."""
        return Box(self.left * across, self.top * down, self.width * across, self.height * down)

    def resized(self, width: float, height: float) -> Box:
        """Another size around the same centre."""
        left, top = self.left + (self.width - width) / 2, self.top + (self.height - height) / 2
        return Box(left, top, width, height)

    def overlap(self, other: Box) -> float:
        """How much of the smaller one of two boxes lies in the other, in [0, 1]: 1 where it is contained."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        smaller = min(self.area, other.area)
        return max(across, 0.0) * max(down, 0.0) / smaller if smaller else 0.0


@record
class Face:
    """One face in one frame."""

    box: Box = Field(description="from brow to chin, as the detector draws it")
    confidence: Number | None = Field(description="in [0, 1], or None where the detector gives none")
    landmarks: tuple[tuple[Number, Number], ...] | None = Field(
        description="pixels of the frame: the eye, the eye, the nose's tip, the mouth's corner, the "
        "mouth's corner, left before right as the frame shows them; None where the detector "
        "gives none",
    )
    yaw: Number | None = Field(
        description="degrees, positive where the nose points to the right side of the frame; None: unknown"
    )
    pitch: Number | None = Field(description="degrees, positive where it points up; None: unknown")
    roll: Number | None = Field(
        description="degrees, positive where the head tilts clockwise as the frame shows it; None: unknown"
    )
    blur: Number = Field(
        description="variance of the Laplacian of the face as a grey crop of fixed size; higher is sharper"
    )


@record
class Human:
    """One person's body in one frame."""

    box: Box = Field(description="as far as the frame shows it")
    is_estimated: bool = Field(description="drawn from the face box, where no human detector is configured")
    confidence: Number | None = Field(description="in [0, 1]; None where it is estimated")


@record
class FrameAnnotation:
    """One frame."""

    index: int = Field(description="frame number in the file, 0 first")
    faces: tuple[Face, ...] = Field(description="in no order")
    humans: tuple[Human, ...] = Field(description="in no order")


@record
class DetectorInfo:
    """Which detector looked, in enough detail to look again."""

    name: str = Field(description="such as haar")
    version: str = Field(
        description="of the library, and the start of the weights' sha256 where there are any"
    )
    settings: Mapping[str, Any] = Field(description="all that changes what it finds; values are plain JSON")


@record
class ClipAnnotation:
    """One file, photo or clip."""

    sha256: str = Field(description="of the file's bytes")
    width: int = Field(description="pixels, upright")
    height: int = Field(description="pixels, upright")
    num_frames: int = Field(description="decoded frames of the file; 1 for a photo")
    fps: Number = Field(description="frames per second; 0 for a photo")
    shots: tuple[tuple[int, int], ...] = Field(
        description="[start, end) frame spans that cover the file in order"
    )
    frames: tuple[FrameAnnotation, ...] = Field(description="frames 0, stride, 2 stride, ")
    stride: int = Field(description="1 where every frame was looked at")
    face_detector: DetectorInfo = Field(description="what found the faces")
    human_detector: DetectorInfo = Field(description="what found the bodies")


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
        fields = json.loads(gzip.decompress(content), parse_constant=_refuse_constant)
        version = fields.pop("schema_version")
        if version == SCHEMA_VERSION:
            return read(ClipAnnotation, fields)
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise ValueError(f"{Path(path).name} is no annotation record: {detail}; annotate again") from None
    raise ValueError(
        f"{Path(path).name} has schema version {version}, not {SCHEMA_VERSION}; annotate the file again"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
