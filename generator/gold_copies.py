"""Copies of a video for pairs whose answer is known: written anew, so no two files are the same bytes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.video import Clip, read_clip, write_clip

#: What is left of the sides of a degraded copy before it is blown up again.
KEPT = 0.2


def copy_video(source: Path, target: Path) -> None:
    """Decode a video and encode it again: the same frames, other bytes.

    Args:
        source: the video.
        target: the new file, in a folder that is there.

    Raises:
        MediaError: `source` cannot be decoded.
    """
    clip = read_clip(source)
    write_clip(target, clip.frames, clip.fps)


def degrade_video(source: Path, target: Path) -> None:
    """The same with its fine detail gone: shrunk to `KEPT` of each side, then blown up with soft edges.

    Size, rate and length stay. A face loses what tells its person; clothes and background stay readable.

    Raises:
        MediaError: `source` cannot be decoded.
    """
    clip: Clip = read_clip(source)
    write_clip(target, degrade(clip.frames), clip.fps)


def degrade(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """See `degrade_video`; (F, H, W, 3) uint8 to the same."""
    height, width = frames.shape[1:3]
    small = (max(1, round(width * KEPT)), max(1, round(height * KEPT)))
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                (width, height),
                interpolation=cv2.INTER_CUBIC,
            )
            for frame in frames
        ]
    ).astype(np.uint8)
