"""Which files are used as references: measures of a record, thresholds on them, and what each one costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from operator import gt, lt
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from generator.curation.annotation import ClipAnnotation
from generator.curation.people import find_people
from generator.media.formats import RejectReason
from generator.validation import Amount, Number, Share, record


@dataclass(frozen=True)
class Measures:
    """What the filters look at in one file. None: unknown, and no filter acts on it."""

    num_frames: int  # of the file; 1 for a photo
    num_shots: int  # cuts and one
    longest_shot: int  # frames
    max_faces: int  # the largest number of people whose faces show at the same time
    face_share: float  # of the annotated frames, those that show a person's face, in [0, 1]
    face_px: float | None  # pixels of the file: side of the subject's face, the median over frames
    blur: float | None  # sharpness of the subject's face, the median over frames; see `annotation.Face`
    blur_percentile: float | None  # of `blur` within the collection, in [0, 100]; None until `rank_blur`
    yaw_max: float | None  # degrees: 90 % of the subject's faces turn no further to either side
    pitch_max: float | None  # degrees, likewise up or down
    roll_max: float | None  # degrees, likewise tilted


@dataclass(frozen=True)
class MeasureColumns:
    """What the what-if table looks at in N files, each (N,), with NaN where a measure is unknown."""

    num_frames: NDArray[np.float64]
    longest_shot: NDArray[np.float64]
    max_faces: NDArray[np.float64]
    face_share: NDArray[np.float64]
    face_px: NDArray[np.float64]
    blur: NDArray[np.float64]
    blur_percentile: NDArray[np.float64]
    yaw_max: NDArray[np.float64]
    pitch_max: NDArray[np.float64]
    roll_max: NDArray[np.float64]

    @classmethod
    def of(cls, measures: Sequence[Measures]) -> MeasureColumns:
        """Those of many files."""
        names = [column.name for column in fields(cls)]
        return cls(**{name: np.array([getattr(item, name) for item in measures], float) for name in names})

    def __len__(self) -> int:
        return len(self.num_frames)


Degrees = Annotated[Number, Field(ge=0, le=180)]


@record
class Thresholds:
    """When a file is not used.

    Raises:
        ValueError: one is out of its range.
    """

    min_frames: Amount = Field(default=9, description="Frames of the longest shot, at least")
    max_faces: Amount = Field(default=1, description="People at the same time, at most")
    min_face_share: Share = Field(default=0.3, description="Share of the frames with the face, at least")
    min_face_px: Number = Field(default=48.0, ge=0, description="Face, pixels, at least")
    min_blur: Number = Field(default=10.0, ge=0, description="Sharpness, at least")
    min_blur_percentile: Number = Field(
        default=0.0, ge=0, le=100, description="Sharpness within the collection, percentile, at least"
    )
    max_yaw: Degrees = Field(default=60.0, description="Turn of the head, degrees, at most")
    max_pitch: Degrees = Field(default=45.0, description="Nod of the head, degrees, at most")
    max_roll: Degrees = Field(default=45.0, description="Tilt of the head, degrees, at most")
    max_copy_distance: Share = Field(
        default=0.06, description="Share of bits in which copies differ, at most"
    )


def measure(annotation: ClipAnnotation) -> Measures:
    """Reduce a record to what the filters look at."""
    people = find_people(annotation)
    subject = people.subject
    lengths = [end - start for start, end in annotation.shots]
    return Measures(
        num_frames=annotation.num_frames,
        num_shots=len(lengths),
        longest_shot=max(lengths),
        max_faces=people.max_faces,
        face_share=people.face_share,
        face_px=_median([face.box.side for face in subject]),
        blur=_median([face.blur for face in subject]),
        blur_percentile=None,
        yaw_max=_spread([face.yaw for face in subject]),
        pitch_max=_spread([face.pitch for face in subject]),
        roll_max=_spread([face.roll for face in subject]),
    )


def rank_blur(measures: Sequence[Measures]) -> list[Measures]:
    """Fill in where in the collection each file's sharpness stands: the share of files that are blurrier."""
    known = [item.blur for item in measures if item.blur is not None]
    ranks = iter(percentiles(known))
    return [item if item.blur is None else replace(item, blur_percentile=next(ranks)) for item in measures]


def percentiles(values: Sequence[float]) -> list[float]:
    """Of each value, the share of the others below it, in [0, 100]; ties count half, a lone value is at 50.

    Raw blur is not comparable between sizes and cameras; its place among the frames of a clip, or among the
    files of a collection, is.
    """
    if len(values) < 2:
        return [50.0] * len(values)
    ordered = np.sort(np.asarray(values, float))
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    return [float(rank) for rank in 50 * (below + up_to - 1) / (len(values) - 1)]


@dataclass(frozen=True)
class _Rule:
    """One threshold: which files fall below or above it, and why they are then not used."""

    threshold: str
    reason: RejectReason
    fails: Callable[[Any, float], Any]  # of one file's measures, or of many files' columns
    #: Other values for the what-if table.
    others: tuple[float, ...]


def _if_known(measure: str, compare: Callable[[Any, float], Any]) -> Callable[[Any, float], Any]:
    """Whether a measure is known, and beyond the threshold on the side that `compare` says."""

    def fails(measures: Any, limit: float) -> Any:
        value = getattr(measures, measure)
        return value is not None and compare(value, limit)

    return fails


#: In the order in which reasons are given.
_RULES = (
    _Rule(
        "min_frames",
        RejectReason.TOO_SHORT,
        lambda it, limit: (it.num_frames > 1) & (it.longest_shot < limit),
        (5, 9, 25, 49, 81, 121),
    ),
    _Rule("max_faces", RejectReason.MULTI_FACE, _if_known("max_faces", gt), (1, 2, 3)),
    _Rule(
        "min_face_share",
        RejectReason.NO_FACE,
        lambda it, limit: (it.face_share == 0) | (it.face_share < limit),
        (0, 0.1, 0.3, 0.5, 0.8, 0.95),
    ),
    _Rule("min_face_px", RejectReason.SMALL_FACE, _if_known("face_px", lt), (0, 32, 48, 64, 96, 128, 256)),
    _Rule("min_blur", RejectReason.BLURRED, _if_known("blur", lt), (0, 10, 30, 100, 300)),
    _Rule("min_blur_percentile", RejectReason.BLURRED, _if_known("blur_percentile", lt), (0, 5, 10, 20)),
    *(
        _Rule(f"max_{angle}", RejectReason.EXTREME_POSE, _if_known(f"{angle}_max", gt), (15, 30, 45, 60, 90))
        for angle in ("yaw", "pitch", "roll")
    ),
)


#: Thresholds on measures, in the order of the what-if table.
THRESHOLDS_SHOWN = tuple(rule.threshold for rule in _RULES)


def judge(measures: Measures, thresholds: Thresholds) -> tuple[RejectReason, ...]:
    """Why a file is not used, the weightiest reason first; empty where it is used."""
    reasons = (rule.reason for rule in _RULES if rule.fails(measures, getattr(thresholds, rule.threshold)))
    return tuple(dict.fromkeys(reasons))


@dataclass(frozen=True)
class WhatIf:
    """What one threshold costs a collection."""

    threshold: str  # a field of `Thresholds`
    value: float  # of it; all other thresholds stay as they are
    is_current: bool  # whether it is the value in use
    costs: int  # files that it leaves out
    costs_alone: int  # files that it and no other threshold leaves out
    kept: int  # files that pass all thresholds


def what_if(measures: MeasureColumns, thresholds: Thresholds) -> list[WhatIf]:
    """What each threshold costs, now and at a few other values; by threshold, in the order of its values."""
    costs_now = {rule.threshold: rule.fails(measures, getattr(thresholds, rule.threshold)) for rule in _RULES}
    num_failed = np.zeros(len(measures), int) + sum(costs.astype(int) for costs in costs_now.values())
    rows = []
    for rule in _RULES:
        current = getattr(thresholds, rule.threshold)
        others_pass = num_failed == costs_now[rule.threshold]
        for value in sorted({*rule.others, current}):
            costs = rule.fails(measures, value)
            alone, kept = int((costs & others_pass).sum()), int((others_pass & ~costs).sum())
            rows.append(WhatIf(rule.threshold, value, value == current, int(costs.sum()), alone, kept))
    return rows


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _spread(angles: Sequence[float | None]) -> float | None:
    """The 90th percentile of what is known, so that one frame costs no clip."""
    known = [abs(angle) for angle in angles if angle is not None]
    return float(np.percentile(known, 90)) if known else None
