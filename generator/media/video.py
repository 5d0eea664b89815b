"""Clips and stills, read as arrays and measured. Counts and times come from decoding, never from a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.files import file_sha256
from generator.media.decoder import VideoDecoder
from generator.media.formats import (
    DEFAULT_LIMITS,
    MediaError,
    MediaFacts,
    MediaFormat,
    MediaKind,
    MediaLimits,
    RejectReason,
    detect_format,
)
from generator.media.photo import decode_photo, open_photo, rotation_of


@dataclass(frozen=True)
class Clip:
    """Decoded frames."""

    frames: NDArray[np.uint8]  # RGB, shape (F, H, W, 3); F is 1 for a still
    fps: float  # frames per second on average; 0 for a still


def probe(path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> MediaFacts:
    """Measure a photo or a clip by decoding all of it; its name says nothing about its content.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    media_format = detect_format(path, limits)
    if media_format.kind is MediaKind.IMAGE:
        return _probe_photo(path, media_format, limits)
    return probe_video(path, media_format, limits)[0]


def read_clip(
    path: Path | str, *, max_frames: int | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> Clip:
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
    media_format = detect_format(path, limits)
    if media_format.kind is MediaKind.IMAGE:
        with open_photo(path, media_format, limits) as picture:
            return Clip(np.asarray(decode_photo(picture))[None], fps=0.0)
    frames: list[NDArray[np.uint8]] = []
    with VideoDecoder(path, media_format, limits) as decoder:
        for frame in decoder:
            frames.append(decoder.upright_rgb(frame))
            _check_memory(frames, limits)
            if len(frames) == max_frames:
                break
    return Clip(np.stack(frames), fps=len(frames) / decoder.end)


def read_paced(
    path: Path | str, fps: float, *, max_frames: int | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Decode a clip at another, even rate: at every moment k / fps the frame that begins nearest to it.

    Args:
        path: a clip.
        fps: frames per second; where the clip has fewer, frames are repeated.
        max_frames: stop after so many frames; None reads all.
        limits: what it may cost.

    Returns:
        (F, H, W, 3) in RGB; of the whole clip F is `paced_length`.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    frames: list[NDArray[np.uint8]] = []
    with VideoDecoder(path, detect_format(path, limits), limits) as decoder:
        for frame in decoder:
            frames.append(decoder.upright_rgb(frame))
            _check_memory(frames, limits)
            if max_frames is not None and decoder.starts[-1] * fps >= max_frames - 1:
                break
    count = paced_length(len(frames), len(frames) / decoder.end, fps)
    moments = np.arange(count if max_frames is None else min(count, max_frames)) / fps
    indices = np.interp(moments, decoder.starts, np.arange(len(frames)))
    # Times are rounded in files, which must not decide where a moment is halfway between two frames.
    return np.stack([frames[index] for index in indices.round(6).round().astype(int)])


def paced_length(num_frames: int, own_fps: float, fps: float) -> int:
    """Frames that a clip of `own_fps` has at the rate `fps`: moments before the middle of its last frame."""
    return int((num_frames - 0.5) * fps / own_fps) + 1


def _check_memory(frames: Sequence[NDArray[np.uint8]], limits: MediaLimits) -> None:
    if len(frames) * frames[0].nbytes > limits.max_clip_bytes:
        raise MediaError(
            RejectReason.TOO_LARGE,
            f"needs over {limits.max_clip_bytes} bytes as frames; give max_frames or normalise it",
        )


def fit(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Shrink (width, height) to at most `max_side` on the longer side, keeping the shape; never enlarge."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def probe_video(
    path: Path | str, media_format: MediaFormat, limits: MediaLimits
) -> tuple[MediaFacts, VideoDecoder]:
    """Measure a clip in one pass, raising as `probe` does; the decoder keeps the times of all frames."""
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
