"""Clips of several makers in one form, so that nobody can tell whose they are by size, rate or length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.media.encoder import write_clip
from generator.media.formats import MediaFacts
from generator.media.video import read_clip

#: Of a frame: times are rounded in files.
_SLACK = 1e-3


@dataclass(frozen=True)
class ClipForm:
    """What clips have in common."""

    width: int  # pixels, even
    height: int  # pixels, even
    num_frames: int  # at least 1
    fps: float  # frames per second


def common_form(clips: Iterable[MediaFacts]) -> ClipForm:
    """The smallest picture, lowest rate and shortest time of any, so that nothing has to be invented."""
    clips = list(clips)
    smallest = min(clips, key=lambda clip: clip.width * clip.height)
    fps = min(clip.fps for clip in clips)
    seconds = min(clip.duration_s for clip in clips)
    return ClipForm(
        width=max(2, smallest.width // 2 * 2),
        height=max(2, smallest.height // 2 * 2),
        num_frames=max(1, int(seconds * fps + _SLACK)),
        fps=fps,
    )


def write_in_form(source: Path | str, target: Path | str, form: ClipForm) -> None:
    """Copy a clip into a form: its beginning, frames of the same moments, the middle of its picture.

    Args:
        source: a clip at least as long as the form.
        target: ends in `.mp4`.
        form: see `common_form`.

    Raises:
        MediaError: the source is not readable, not supported, or beyond the limits.
        OSError: the source cannot be opened, or the target not written.
    """
    clip = read_clip(source)
    moments = np.arange(form.num_frames) * clip.fps / form.fps + _SLACK
    picked = clip.frames[np.minimum(moments.astype(int), len(clip.frames) - 1)]
    write_clip(target, np.stack([_fill(frame, form) for frame in picked]), form.fps)


def _fill(frame: NDArray[np.uint8], form: ClipForm) -> NDArray[np.uint8]:
    """Scale a frame (H, W, 3) until it covers the form's picture, and keep the middle."""
    height, width, _ = frame.shape
    if (width, height) == (form.width, form.height):
        return frame
    scale = max(form.width / width, form.height / height)
    left, top = (width - form.width / scale) / 2, (height - form.height / scale) / 2
    box = (left, top, width - left, height - top)
    picture = Image.fromarray(frame).resize((form.width, form.height), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture)
