"""Clips and photos of any source, brought into the one form that is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.media.decoder import VideoDecoder
from generator.media.encoder import encode
from generator.media.formats import (
    DEFAULT_LIMITS,
    MediaFacts,
    MediaFormat,
    MediaKind,
    MediaLimits,
    detect_format,
)
from generator.media.photo import decode_photo, open_photo, write_photo
from generator.media.video import fit, probe, probe_video


def normalise(
    source: Path | str,
    target: Path | str,
    *,
    max_side: int = 1280,
    max_fps: float = 60.0,
    limits: MediaLimits = DEFAULT_LIMITS,
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
            encode(target, _picked(decoder, picks, size), rate)
    return probe(target)


def normalise_shots(
    source: Path | str,
    shots: Sequence[tuple[Path | str, int]],
    *,
    max_side: int = 1280,
    max_fps: float = 60.0,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> list[MediaFacts]:
    """Normalise a clip as `normalise` does, but each of its shots into a file of its own, in one pass.

    Args:
        source: the clip.
        shots: (target, number of frames) in order; frames are those that `normalise` writes.
        max_side: this and the following as of `normalise`.
        max_fps: likewise.
        limits: likewise.

    Raises:
        ValueError: the shots do not cover the clip; other errors as of `normalise`.
    """
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
            encode(target, islice(frames, length), rate)
    return [probe(target) for target, _ in shots]


def steady_rate(starts: Sequence[float], end: float, nominal_fps: float | None) -> Fraction:
    """The frame rate of a clip between its pauses.

    The mean interval between frames, whose starts in seconds do not decrease, leaving out those far from the
    median (a pause, or two frames at one time). The rate that the header claims, if any, is taken where it
    agrees within 1 %, because file timestamps are often rounded to milliseconds.
    """
    # How long the last frame stays is the muxer's guess, so it counts only where there is nothing else.
    intervals = [after - before for before, after in pairwise(starts) if after > before] or [end]
    typical = median(intervals)
    measured = 1 / fmean(step for step in intervals if 0.5 * typical <= step <= 1.5 * typical)
    if nominal_fps and abs(nominal_fps - measured) <= 0.01 * measured:
        measured = nominal_fps
    return Fraction(measured).limit_denominator(1001)


def constant_rate_picks(starts: Sequence[float], end: float, rate: Fraction) -> list[int]:
    """Which source frame to show in each slot of an even rate: at least one index into `starts`.

    Frame i starts in slot `floor(starts[i] * rate + 1/2)` and stays until the next one's slot. Starts are in
    seconds, the first 0, not decreasing; `end` is when the last frame ends.
    """
    slots = [int(start * rate + Fraction(1, 2)) for start in (*starts, end)]
    slots[-1] = max(slots[-1], 1)
    return [index for index, (slot, after) in enumerate(pairwise(slots)) for _ in range(slot, after)]


def _plan_even_rate(
    source: Path | str, media_format: MediaFormat, max_side: int, max_fps: float, limits: MediaLimits
) -> tuple[Fraction, list[int], tuple[int, int]]:
    """The rate at which a clip is written, the source frame of each written one, and its (width, height)."""
    facts, decoder = probe_video(source, media_format, limits)
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
