"""What people are shown: a copy of a video that says nothing but what can be seen in it.

Every video that somebody judges goes through `write_display_copy`, whatever it is shown for. No two copies of
a video are the same bytes, and any two are as far from each other as any other two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.files import replacing
from generator.media.encoder import write_clip
from generator.media.video import read_clip
from generator.records import Encoding

#: How far a bent picture is moved at most, in parts of its sides, and in how many waves. Nothing folds over.
BEND, WAVES = 0.04, 1.25
#: A copy's own shade: so many steps of brightness, drawn at so many places a side and blended between.
SHADE, SHADE_PLACES = 1.49, 4
#: A copy is as long as the next of so many sizes between a power of two and the next one.
SIZES_PER_DOUBLING = 8
#: Of the last box of a file: its size, then its name.
_BOX = 8

#: RGB, shape (F, H, W, 3).
Frames = NDArray[np.uint8]


def write_display_copy(
    source: Path,
    target: Path,
    *,
    name: str,
    change: Callable[[Frames], Frames] | None = None,
    encoding: Encoding = Encoding.FULL,
) -> None:
    """Decode a video and encode it again, with an invisible shade of its own.

    Args:
        source: the video.
        target: the new file; its folder is made when missing. Replaced whole, or not at all.
        name: of the copy. The shade follows from it: the same name gives the same bytes.
        change: applied to the frames first, shape (F, H, W, 3) to the same.
        encoding: the same for both videos of a pair, and for gold as for what it is a copy of.

    Raises:
        MediaError: `source` cannot be decoded.
        OSError: `source` cannot be opened, or `target` not written.
    """
    clip = read_clip(source)
    frames = clip.frames if change is None else change(clip.frames)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        write_clip(temporary, shaded(frames, name), clip.fps, encoding)
        _round_up(temporary, name)


def shaded(frames: Frames, name: str) -> Frames:
    """Add a shade that is constant over time: at most one step of brightness anywhere, drawn from `name`."""
    height, width = frames.shape[1:3]
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    coarse = rng.uniform(-SHADE, SHADE, (SHADE_PLACES, SHADE_PLACES)).astype(np.float32)
    shade = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).round().astype(np.int16)
    copy: Frames = np.clip(frames.astype(np.int16) + shade[None, :, :, None], 0, 255).astype(np.uint8)
    return copy


def bend(frames: Frames) -> Frames:
    """Bend the picture in waves, the same for all frames: a face is no longer that of its person.

    Clothes, background and movement stay readable. Sharpness, colours and the length of the file change by
    less than videos differ, so that none of them tells a bent video from others.
    """
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    turn = 2 * np.pi * WAVES
    across = (columns + BEND * width * np.sin(turn * rows / height)).astype(np.float32)
    down = (rows + BEND * height * np.sin(turn * columns / width)).astype(np.float32)
    bent = [
        cv2.remap(frame, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT) for frame in frames
    ]
    return np.stack(bent).astype(np.uint8)


def _round_up(file: Path, name: str) -> None:
    """Fill up the last box, which holds the frames, to the next of a few sizes.

    Sizes of a pair are often equal then, whether or not it is one video twice.

    Raises:
        ValueError: the file does not end with its frames.
    """
    content = bytearray(file.read_bytes())
    start = _last_box(content)
    step = 1 << max(0, len(content).bit_length() - 1 - (SIZES_PER_DOUBLING - 1).bit_length())
    missing = -len(content) % step
    rng = np.random.default_rng(list(hashlib.sha256(f"{name} filling".encode()).digest()))
    content += rng.bytes(missing)
    content[start : start + 4] = (len(content) - start).to_bytes(4, "big")
    file.write_bytes(content)


def _last_box(content: bytearray) -> int:
    """Where the last box of an MP4 starts.

    Raises:
        ValueError: it is none of frames, or its size is written in another form.
    """
    start = 0
    while True:
        size = int.from_bytes(content[start : start + 4], "big")
        if start + size == len(content) and content[start + 4 : start + _BOX] == b"mdat":
            return start
        if size < _BOX or start + size >= len(content):
            raise ValueError(f"the box at byte {start} of a copy has {size} bytes; frames must come last")
        start += size
