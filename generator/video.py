"""Clips and stills as arrays and as files: read, measure, write, normalise.

Frame counts and times come from decoding, never from a header. Every clip written here is one that a browser
plays and seeks exactly: H.264, yuv420p in BT.709, constant frame rate, no B-frames (frame k starts at
k / fps), index at the front, no audio, no metadata; equal frames give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from statistics import fmean, median

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from PIL import Image

from generator.decoder import SCALING, VideoDecoder
from generator.media import (
    MediaError,
    MediaFacts,
    MediaFormat,
    MediaKind,
    MediaLimits,
    RejectReason,
    detect_format,
    file_sha256,
    replacing,
)
from generator.photo import decode_photo, open_photo, rotation_of, write_photo

__all__ = [
    "Clip",
    "MediaError",
    "MediaFacts",
    "MediaKind",
    "MediaLimits",
    "RejectReason",
    "normalise",
    "normalise_shots",
    "probe",
    "read_clip",
    "write_clip",
    "write_poster",
]

#: Up to this short side a clip is written almost without loss: every pixel of a small face counts.
SMALL_SIDE = 128
#: x264's quality (lower is better) and effort, for small clips and for others.
_SMALL_QUALITY, _QUALITY = ("10", "medium"), ("17", "veryfast")


@dataclass(frozen=True)
class Clip:
    """Decoded frames.

    Attributes:
        frames: RGB, shape (F, H, W, 3); F is 1 for a still.
        fps: frames per second on average; 0 for a still.
    """

    frames: NDArray[np.uint8]
    fps: float


def probe(path: Path | str, *, limits: MediaLimits | None = None) -> MediaFacts:
    """Measure a photo or a clip by decoding all of it.

    Args:
        path: the file; its name says nothing about its content.
        limits: what it may cost.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    limits = limits or MediaLimits()
    media_format = detect_format(path, limits)
    if media_format.kind is MediaKind.IMAGE:
        return _probe_photo(path, media_format, limits)
    return _probe_video(path, media_format, limits)[0]


def read_clip(path: Path | str, *, max_frames: int | None = None, limits: MediaLimits | None = None) -> Clip:
    """Decode a clip, or a photo as a clip of one frame, upright and in RGB.

    Args:
        path: the file.
        max_frames: stop after so many frames; None reads all.
        limits: what it may cost.

    Returns:
        The frames that the file holds, none repeated or left out to even the rate.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    limits = limits or MediaLimits()
    media_format = detect_format(path, limits)
    if media_format.kind is MediaKind.IMAGE:
        with open_photo(path, media_format, limits) as picture:
            return Clip(np.asarray(decode_photo(picture))[None], fps=0.0)
    frames: list[NDArray[np.uint8]] = []
    with VideoDecoder(path, media_format, limits) as decoder:
        for frame in decoder:
            frames.append(decoder.upright_rgb(frame))
            if len(frames) * frames[0].nbytes > limits.max_clip_bytes:
                raise MediaError(
                    RejectReason.TOO_LARGE,
                    f"needs over {limits.max_clip_bytes} bytes as frames; give max_frames or normalise it",
                )
            if len(frames) == max_frames:
                break
    return Clip(np.stack(frames), fps=len(frames) / decoder.end)


def write_clip(path: Path | str, frames: NDArray[np.uint8], fps: float) -> None:
    """Write frames as an MP4 that browsers play, atomically.

    Args:
        path: the file; its folder exists.
        frames: RGB, shape (F, H, W, 3), H and W even, F at least 1.
        fps: frames per second, above 0.

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
    _encode(path, frames, Fraction(fps).limit_denominator(1001))


def write_poster(path: Path | str, frame: NDArray[np.uint8]) -> None:
    """Write one frame as a still, atomically and without metadata.

    Args:
        path: ends in `.png` (lossless) or `.jpg`.
        frame: RGB, shape (H, W, 3).

    Raises:
        ValueError: another name ending, or a frame of another shape or type.
    """
    write_photo(path, frame)


def normalise(
    source: Path | str,
    target: Path | str,
    *,
    max_side: int = 1280,
    max_fps: float = 60.0,
    limits: MediaLimits | None = None,
) -> MediaFacts:
    """Copy a file into the one form that is stored: decoded whole, upright, even rate, bare of metadata.

    A picture is only ever made smaller. A variable frame rate becomes constant by repeating or leaving out
    frames, so that every moment stays where it was.

    Args:
        source: photo or clip.
        target: ends in `.mp4` for a clip, `.png` or `.jpg` for a photo; see `MediaFacts.normal_suffix`.
        max_side: pixels, of the longer side, at least 2.
        max_fps: higher rates are thinned out.
        limits: what the source may cost.

    Returns:
        The facts of the written file.

    Raises:
        MediaError: the source is not readable, not supported, or beyond the limits.
        ValueError: a target whose ending does not fit the source.
        OSError: the source cannot be opened, or the target not written.
    """
    limits = limits or MediaLimits()
    media_format = detect_format(source, limits)
    suffix = Path(target).suffix.lower()
    if (media_format.kind is MediaKind.VIDEO) != (suffix == ".mp4"):
        raise ValueError(f"{Path(target).name} does not fit a source of kind {media_format.kind}")
    if media_format.kind is MediaKind.IMAGE:
        with open_photo(source, media_format, limits) as picture:
            upright = decode_photo(picture)
        write_photo(target, np.asarray(upright.resize(fit(upright.size, max_side), Image.Resampling.LANCZOS)))
    else:
        rate, picks, size = _plan_even_rate(source, media_format, max_side, max_fps, limits)
        with VideoDecoder(source, media_format, limits) as decoder:
            _encode(target, _picked(decoder, picks, size), rate)
    return probe(target)


def normalise_shots(
    source: Path | str,
    shots: Sequence[tuple[Path | str, int]],
    *,
    max_side: int = 1280,
    max_fps: float = 60.0,
    limits: MediaLimits | None = None,
) -> list[MediaFacts]:
    """Normalise a clip as `normalise` does, but each of its shots into a file of its own, in one pass.

    Args:
        source: the clip.
        shots: (target, number of frames) in order; frames are those that `normalise` writes.
        max_side: pixels, of the longer side, at least 2.
        max_fps: higher rates are thinned out.
        limits: what the source may cost.

    Returns:
        The facts of the written files.

    Raises:
        MediaError: the source is not readable, not supported, or beyond the limits.
        ValueError: the shots do not cover the clip.
        OSError: the source cannot be opened, or a target not written.
    """
    limits = limits or MediaLimits()
    media_format = detect_format(source, limits)
    rate, picks, size = _plan_even_rate(source, media_format, max_side, max_fps, limits)
    lengths = [length for _, length in shots]
    if sum(lengths) != len(picks) or min(lengths, default=0) < 1:
        raise ValueError(
            f"shots of {lengths} frames do not cover the {len(picks)} frames of {Path(source).name}"
        )
    with VideoDecoder(source, media_format, limits) as decoder:
        frames = _picked(decoder, picks, size)
        for target, length in shots:
            _encode(target, islice(frames, length), rate)
    return [probe(target) for target, _ in shots]


def fit(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Shrink (width, height) to at most `max_side` on the longer side, keeping the shape; never enlarge."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def steady_rate(starts: Sequence[float], end: float, nominal_fps: float | None) -> Fraction:
    """The frame rate of a clip between its pauses.

    The mean interval, leaving out those far from the median (a pause, or two frames at one time). The rate in
    the header is taken where it agrees within 1 %, because file timestamps are often rounded to milliseconds.

    Args:
        starts: seconds at which frames start, not decreasing.
        end: seconds at which the last frame ends.
        nominal_fps: the header's claim, or None.

    Returns:
        Frames per second.
    """
    # How long the last frame stays is the muxer's guess, so it counts only where there is nothing else.
    intervals = [after - before for before, after in pairwise(starts) if after > before] or [end]
    typical = median(intervals)
    measured = 1 / fmean(step for step in intervals if 0.5 * typical <= step <= 1.5 * typical)
    if nominal_fps and abs(nominal_fps - measured) <= 0.01 * measured:
        measured = nominal_fps
    return Fraction(measured).limit_denominator(1001)


def constant_rate_picks(starts: Sequence[float], end: float, rate: Fraction) -> list[int]:
    """Which source frame to show in each slot of an even rate.

    Frame i starts in slot `floor(starts[i] * rate + 1/2)` and stays until the next one's slot.

    Args:
        starts: seconds at which frames start, not decreasing, the first 0.
        end: seconds at which the last frame ends.
        rate: slots per second.

    Returns:
        Indices into `starts`, one a slot, not decreasing; at least one.
    """
    slots = [int(start * rate + Fraction(1, 2)) for start in (*starts, end)]
    slots[-1] = max(slots[-1], 1)
    return [index for index, (slot, after) in enumerate(pairwise(slots)) for _ in range(slot, after)]


def _probe_photo(path: Path | str, photo_format: MediaFormat, limits: MediaLimits) -> MediaFacts:
    with open_photo(path, photo_format, limits) as picture:
        width, height = decode_photo(picture).size
        mode, rotation = picture.mode.lower(), rotation_of(picture)
    return MediaFacts(
        kind=MediaKind.IMAGE,
        width=width,
        height=height,
        num_frames=1,
        fps=0.0,
        duration_s=0.0,
        codec=photo_format.value,
        pixel_format=mode,
        has_audio=False,
        rotation=rotation,
        size_bytes=Path(path).stat().st_size,
        sha256=file_sha256(path),
    )


def _probe_video(
    path: Path | str, media_format: MediaFormat, limits: MediaLimits
) -> tuple[MediaFacts, VideoDecoder]:
    """Decode once; the decoder keeps the times of all frames."""
    with VideoDecoder(path, media_format, limits) as decoder:
        for _ in decoder:
            pass
    count = len(decoder.starts)
    if count < limits.min_frames:
        raise MediaError(RejectReason.TOO_SHORT, f"has {count} frames; {limits.min_frames} are needed")
    facts = MediaFacts(
        kind=MediaKind.VIDEO,
        width=decoder.size[0],
        height=decoder.size[1],
        num_frames=count,
        fps=count / decoder.end,
        duration_s=decoder.end,
        codec=decoder.codec,
        pixel_format=decoder.pixel_format,
        has_audio=decoder.has_audio,
        rotation=decoder.rotation,
        size_bytes=Path(path).stat().st_size,
        sha256=file_sha256(path),
        is_damaged=decoder.is_damaged,
    )
    return facts, decoder


def _plan_even_rate(
    source: Path | str, media_format: MediaFormat, max_side: int, max_fps: float, limits: MediaLimits
) -> tuple[Fraction, list[int], tuple[int, int]]:
    """The rate at which a clip is written, the source frame of each written one, and its (width, height)."""
    facts, decoder = _probe_video(source, media_format, limits)
    rate = min(steady_rate(decoder.starts, decoder.end, decoder.nominal_fps), Fraction(max_fps))
    width, height = (max(2, side // 2 * 2) for side in fit((facts.width, facts.height), max_side))
    return rate, constant_rate_picks(decoder.starts, decoder.end, rate), (width, height)


def _picked(
    decoder: VideoDecoder, picks: Sequence[int], size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """The frames that `picks` names, in its order, decoding no further than needed."""
    waiting = iter(picks)
    pick = next(waiting, None)
    for index, frame in enumerate(decoder):
        if pick is None:
            return
        if index == pick:
            rgb = decoder.upright_rgb(frame, size)
        while index == pick:
            yield rgb
            pick = next(waiting, None)


def _encode(path: Path | str, frames: Iterable[NDArray[np.uint8]], rate: Fraction) -> None:
    """Write frames of one even size as H.264 in MP4, atomically."""
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
        _configure(stream.codec_context, rate, min(width, height))
        for index, frame in enumerate(chain([first], waiting)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=SCALING,
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _configure(codec: av.VideoCodecContext, rate: Fraction, short_side: int) -> None:
    crf, preset = _SMALL_QUALITY if short_side <= SMALL_SIDE else _QUALITY
    codec.options = {
        "crf": crf,
        "preset": preset,
        "bf": "0",
        "g": str(max(1, round(rate))),  # a key frame a second, for quick seeking
        "threads": "1",  # equal bytes on every machine
    }
    codec.flags |= Flags.bitexact
    codec.color_range = ColorRange.MPEG
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
