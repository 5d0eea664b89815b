"""How much moves in a clip, in pixels per frame: `python -m rlhf.evaluation.metrics.motion FILE...`.

Prints two figures per file. `motion` is the mean length of the optical flow. `motion_fb` is what
OpenS2V-Nexus publishes under that name, to the last digit: a mean of signed flow, where a movement to the
left cancels one to the right, on frames with red and blue exchanged. It is there to be compared with
published tables. Neither is in [0, 1], and neither says whether the movement was wanted, so neither is a
column of the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from generator.media.formats import MediaError
from generator.media.video import read_clip

#: Farneback's method as OpenS2V-Nexus sets it.
FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}
#: Width to which the published figure shrinks a flow before it takes the mean.
_PUBLISHED_WIDTH = 16


def to_grey(frame: NDArray[np.uint8], how: int = cv2.COLOR_RGB2GRAY) -> NDArray[np.uint8]:
    """A frame (H, W, 3) as (H, W)."""
    return np.asarray(cv2.cvtColor(frame, how), np.uint8)


def optical_flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where each pixel of a grey frame (H, W) goes: pixels to the right and down, (H, W, 2)."""
    flow = cv2.calcOpticalFlowFarneback(before, after, None, **FARNEBACK)  # type: ignore[call-overload]
    return np.asarray(flow, np.float32)


def motion(frames: NDArray[np.uint8]) -> float:
    """Mean length of the flow over all pixels and neighbouring frames, in pixels per frame.

    Args:
        frames: RGB, shape (F, H, W, 3), F at least 2.

    Raises:
        ValueError: there is one frame only.
    """
    if len(frames) < 2:
        raise ValueError(f"has {len(frames)} frame; motion needs two, so give a clip")
    grey = [to_grey(frame) for frame in frames]
    lengths = [np.linalg.norm(optical_flow(*pair), axis=2).mean() for pair in pairwise(grey)]
    return float(np.mean(lengths))


def published_motion(path: Path) -> float:
    """`motion_fb` of OpenS2V-Nexus: |mean of the flow's components|.

    Raises:
        ValueError: there is one frame only.
        OSError: the file cannot be opened or decoded.
    """
    grey = [to_grey(frame, cv2.COLOR_BGR2GRAY) for frame in _plainly_decoded(path)]
    if len(grey) < 2:
        raise ValueError(f"has {len(grey)} frame; motion needs two, so give a clip")
    height, width = grey[0].shape
    size = (_PUBLISHED_WIDTH, int(height * (_PUBLISHED_WIDTH / width)))
    small = [cv2.resize(optical_flow(*pair), size, interpolation=cv2.INTER_AREA) for pair in pairwise(grey)]
    return float(abs(np.mean(np.mean(small, axis=0))))


def _plainly_decoded(path: Path) -> Iterable[NDArray[np.uint8]]:
    """RGB as FFmpeg converts it unasked; `read_clip` is more exact and so gives other digits."""
    with av.open(str(path.resolve()), metadata_errors="ignore") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def main(files: list[str]) -> None:
    """Print one JSON object per file; end with one line on what cannot be read."""
    if not files:
        raise SystemExit("no file is named; give clips: python -m rlhf.evaluation.metrics.motion FILE...")
    for file in files:
        try:
            figures = {"motion": motion(read_clip(file).frames), "motion_fb": published_motion(Path(file))}
        except (MediaError, ValueError, OSError) as error:
            raise SystemExit(f"{file}: {error}") from None
        print(json.dumps({"file": file, **figures}))


if __name__ == "__main__":
    main(sys.argv[1:])
