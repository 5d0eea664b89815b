"""Annotation records whose truth is planted."""

from __future__ import annotations

from collections.abc import Sequence

from generator.curation.annotation import (
    Box,
    ClipAnnotation,
    DetectorInfo,
    Face,
    FrameAnnotation,
    Human,
)

PLANTED = DetectorInfo("planted", "1", {})


def face(left: float, top: float, side: float) -> Face:
    return Face(Box(left, top, side, side), 0.9, None, None, None, None, 100.0)


def human(left: float, top: float, width: float, height: float) -> Human:
    return Human(Box(left, top, width, height), False, 0.9)


def annotate(
    frames: Sequence[tuple[Sequence[Face], Sequence[Human]]],
    *,
    size: tuple[int, int] = (64, 64),
    num_frames: int | None = None,
    stride: int = 1,
    shots: Sequence[tuple[int, int]] = (),
    sha256: str = "0" * 64,
) -> ClipAnnotation:
    """A record of one (faces, humans) for each frame that was looked at."""
    length = num_frames or len(frames) * stride
    return ClipAnnotation(
        sha256=sha256,
        width=size[0],
        height=size[1],
        num_frames=length,
        fps=8.0 if length > 1 else 0.0,
        shots=tuple(shots) or ((0, length),),
        frames=tuple(
            FrameAnnotation(index * stride, tuple(faces), tuple(humans))
            for index, (faces, humans) in enumerate(frames)
        ),
        stride=stride,
        face_detector=PLANTED,
        human_detector=PLANTED,
    )
