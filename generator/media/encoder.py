"""Frames as a file: every clip written here is one that a browser plays and seeks exactly.

H.264, yuv420p in BT.709, constant frame rate, no B-frames (frame k starts at k / fps), index at the front, no
audio, no metadata; equal frames give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from generator.files import replacing
from generator.media.decoder import SCALING
from generator.records import Encoding

#: Up to this short side a clip is written almost without loss: every pixel of a small face counts.
SMALL_SIDE = 128
#: x264's quality (lower is better) and effort, for small clips and for others.
_SMALL_QUALITY = {Encoding.FULL: ("10", "medium"), Encoding.LEAN: ("16", "medium")}
_QUALITY = {Encoding.FULL: ("17", "veryfast"), Encoding.LEAN: ("23", "medium")}


def write_clip(
    path: Path | str, frames: NDArray[np.uint8], fps: float, encoding: Encoding = Encoding.FULL
) -> None:
    """Write frames as an MP4 that browsers play, atomically.

    Args:
        path: the file; its folder exists.
        frames: RGB, shape (F, H, W, 3), H and W even, F at least 1.
        fps: frames per second, above 0.
        encoding: how much of them the file keeps.

    Raises:
        ValueError: frames of another shape or type, or a rate of 0 or less.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(
            f"frames are {frames.dtype} of shape {frames.shape}; give uint8 of shape (F, H, W, 3)"
        )
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames are {frames.shape[2]}x{frames.shape[1]} pixels; H.264 needs even sides")
    if not fps > 0:
        raise ValueError(f"fps is {fps}; it must be above 0")
    encode(path, frames, Fraction(fps).limit_denominator(1001), encoding)


def encode(
    path: Path | str,
    frames: Iterable[NDArray[np.uint8]],
    rate: Fraction,
    encoding: Encoding = Encoding.FULL,
) -> None:
    """Write frames as H.264 in MP4, atomically.

    Args:
        path: the file; its folder exists.
        frames: at least one, RGB, uint8 of one shape (H, W, 3), H and W even.
        rate: frames per second.
        encoding: how much of them the file keeps.
    """
    waiting = iter(frames)
    first = next(waiting)
    height, width, _ = first.shape
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with (
        replacing(path) as temporary,
        av.open(
            # A resolved path starts with "/", so that no colon in a name is read as a protocol.
            str(temporary.resolve()),
            "w",
            format="mp4",
            options=options,
        ) as container,
    ):
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        _configure(stream.codec_context, rate, min(width, height), encoding)
        # One for all frames: setting one up takes longer than converting a frame, and so do its threads.
        converter = VideoReformatter()
        for index, frame in enumerate(chain([first], waiting)):
            picture = converter.reformat(
                av.VideoFrame.from_ndarray(frame, format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=SCALING,
                threads=1,
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _configure(codec: av.VideoCodecContext, rate: Fraction, short_side: int, encoding: Encoding) -> None:
    crf, preset = (_SMALL_QUALITY if short_side <= SMALL_SIDE else _QUALITY)[encoding]
    codec.options = {
        "crf": crf,
        "preset": preset,
        "bf": "0",
        "g": str(max(1, round(rate))),  # a key frame a second, for quick seeking
        # Equal bytes on every machine: in one thread, and by algorithms that every processor has. With those
        # of AVX-512, one file in a hundred came out otherwise while the machine was busy.
        "threads": "1",
        "x264-params": "cpu-independent=1",
    }
    codec.flags |= Flags.bitexact
    codec.color_range = ColorRange.MPEG
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
