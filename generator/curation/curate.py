"""From one file to its annotation record: decode, shots, faces, bodies.

Two passes over the file, each holding one frame at a time: the first counts frames and finds the cuts, the
second looks at evenly spaced frames with the detectors.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, ClipAnnotation, Face, FrameAnnotation
from generator.curation.detection.protocols import Detectors, FoundFace
from generator.curation.settings import CurationSettings
from generator.curation.sharpness import sharpness
from generator.curation.shots import SHOT_SIDE, find_shots
from generator.files import file_sha256
from generator.media.decoder import VideoDecoder
from generator.media.formats import MediaFormat, MediaKind, detect_format
from generator.media.video import fit, read_clip

#: Decimals of what is stored: of pixels, degrees and confidences.
_DECIMALS = 3

Shots = tuple[tuple[int, int], ...]
_STILL: Shots = ((0, 1),)


def annotate_media(
    path: Path | str, detectors: Detectors, settings: CurationSettings | None = None
) -> ClipAnnotation:
    """Annotate one file, a photo or a clip, normalised or not.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    settings = settings or CurationSettings()
    media_format = detect_format(path)
    if media_format.kind is MediaKind.IMAGE:
        picture = read_clip(path).frames[0]
        shots, fps, stride = _STILL, 0.0, 1
        frames = [annotate_frame(picture, 0, detectors, settings.detection_side)]
    else:
        shots, fps = _clip_shots(path, media_format)
        stride = -(-shots[-1][1] // settings.max_frames)
        frames = []
        with VideoDecoder(path, media_format) as decoder:
            for index, frame in enumerate(decoder):
                if index % stride == 0:
                    picture = decoder.upright_rgb(frame)
                    frames.append(annotate_frame(picture, index, detectors, settings.detection_side))
    height, width = picture.shape[:2]
    return ClipAnnotation(
        sha256=file_sha256(path),
        width=width,
        height=height,
        num_frames=shots[-1][1],
        fps=fps,
        shots=shots,
        frames=tuple(frames),
        stride=stride,
        face_detector=detectors.faces.info,
        human_detector=detectors.humans.info,
    )


def annotate_frame(
    picture: NDArray[np.uint8], index: int, detectors: Detectors, detection_side: int
) -> FrameAnnotation:
    """Annotate one frame of a file, RGB at full size (H, W, 3).

    Detectors see it with `detection_side` pixels on its long side. Boxes are in pixels of the picture, and
    sharpness is measured at full size.
    """
    height, width = picture.shape[:2]
    size = fit((width, height), detection_side)
    is_same = size == (width, height)
    small = picture if is_same else cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    faces = detectors.faces.find(small)
    across, down = width / size[0], height / size[1]
    return FrameAnnotation(
        index=index,
        faces=tuple(_face(face, picture, across, down) for face in faces),
        humans=tuple(
            replace(human, box=_enlarged(human.box, across, down))
            for human in detectors.humans.find(small, faces)
        ),
    )


def _clip_shots(path: Path | str, media_format: MediaFormat) -> tuple[Shots, float]:
    """The shots, which cover all frames, and the frames per second."""
    with VideoDecoder(path, media_format) as decoder:
        shots = find_shots(decoder.upright_rgb(frame, fit(decoder.size, SHOT_SIDE)) for frame in decoder)
        return shots, shots[-1][1] / decoder.end


def _face(face: FoundFace, picture: NDArray[np.uint8], across: float, down: float) -> Face:
    box = _enlarged(face.box, across, down)
    points = face.landmarks and tuple((_short(x * across), _short(y * down)) for x, y in face.landmarks)
    return Face(
        box=box,
        confidence=_if_known(face.confidence),
        landmarks=points,
        yaw=_if_known(face.yaw),
        pitch=_if_known(face.pitch),
        roll=_if_known(face.roll),
        blur=_short(sharpness(picture, box)),
    )


def _enlarged(box: Box, across: float, down: float) -> Box:
    return Box(*map(_short, astuple(box.scaled(across, down))))


def _short(value: float) -> float:
    return round(float(value), _DECIMALS)


def _if_known(value: float | None) -> float | None:
    return None if value is None else _short(value)
