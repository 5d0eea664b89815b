"""Where a clip is cut."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

#: Pixels of the long side of the frames that are compared; more detail only adds noise.
SHOT_SIDE = 256
#: How far a change must stand out from its neighbours, and how large it must be (0 to 255), to be a cut.
ADAPTIVE_THRESHOLD, MIN_CHANGE = 3.0, 15.0
#: A shot lasts so many frames at least.
MIN_SHOT = 15
#: The detector counts frames; it asks for a rate, and nothing here depends on it.
_ANY_RATE = 25.0


def find_shots(frames: Iterable[NDArray[np.uint8]]) -> tuple[tuple[int, int], ...]:
    """Cut a clip where its picture changes at once.

    Args:
        frames: RGB, shape (H, W, 3) each, all of the clip in order; read once, one at a time.

    Returns:
        [start, end) spans of frames, at least one, that cover the clip.
    """
    detector = AdaptiveDetector(
        adaptive_threshold=ADAPTIVE_THRESHOLD, min_content_val=MIN_CHANGE, min_scene_len=MIN_SHOT
    )
    cuts: list[int] = []
    count = 0
    for count, frame in enumerate(frames, 1):
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(count - 1, _ANY_RATE), bgr)]
    edges = [0, *cuts, count]
    return tuple(zip(edges[:-1], edges[1:], strict=True))
