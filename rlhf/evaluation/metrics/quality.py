"""Static and dynamic quality of a video without any weights: the columns Sta. and Dyn.

The paper says "mimicking VBench", and VBench has no such two groups. So this is a reading of it, and the
mapping is part of the facts: Sta. is the mean of what single frames show, Dyn. of what happens between them.

Of VBench's dimensions flicker and how much moves need no network. Smoothness keeps VBench's idea (drop every
second frame, fill it in again, compare) with optical flow in place of a network that must not be used
commercially. Imaging quality stands in for MUSIQ, whose weights must not be either. `quality_learned` adds
what needs weights. How much moves is only reported: where nothing moves a video is steady, not good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.curation.detection.protocols import needed
from generator.curation.weights import Weights
from generator.media.video import fit, read_clip
from rlhf.evaluation.metrics.motion import FARNEBACK, optical_flow, to_grey
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import EvaluationInstance, MetricError, MetricFacts, VideoScores

#: Longer side in pixels to which frames are shrunk.
MAX_SIDE = 512
#: Frames that smoothness needs, and pixels a side that blocks of noise need.
MIN_FRAMES, MIN_SIDE = 3, 16
#: Sides in pixels of the median that takes single noisy pixels away, and of the box that blurs again.
MEDIAN, BLUR = 3, 9
#: Standard deviation of noise, in grey levels, at which nothing of a picture's cleanness is left.
WORST_NOISE = 15.0
#: Side of the blocks in which noise is looked for, and the share of them that counts as free of texture.
NOISE_BLOCK, CALM_SHARE = 8, 0.1
#: Grey levels that count as black and as white.
BLACK, WHITE = 5, 250
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)

Frames = Sequence[NDArray[np.uint8]]
#: Looks at the frames of one clip, RGB and (H, W, 3) each; the answer is in [0, 1].
Dimension = Callable[[Frames], float]


@dataclass(frozen=True)
class Quality:
    """A `Metric` with the columns sta and dyn."""

    facts: MetricFacts  # what its figures rest on
    frame_wise: Mapping[str, Dimension]  # the dimensions whose mean is Sta., by name
    temporal: Mapping[str, Dimension]  # those whose mean is Dyn.; each needs `MIN_FRAMES` frames at most

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Look at one video; see `Metric`. What was asked for does not matter here."""
        clip = read_clip(video)
        frames = [shrink(frame) for frame in clip.frames]
        if min(frames[0].shape[:2]) < MIN_SIDE:
            height, width = clip.frames.shape[1:3]
            raise MetricError(f"{video.name} has {width}x{height} pixels; quality needs {MIN_SIDE} a side")
        static = {name: measure(frames) for name, measure in self.frame_wise.items()}
        sta = {"sta": fmean(static.values())}
        if len(frames) < MIN_FRAMES:
            why = f"has {len(frames)} frames; what happens between frames needs {MIN_FRAMES}"
            return VideoScores(sta, {"dyn": why}, static)
        dynamic = {name: measure(frames) for name, measure in self.temporal.items()}
        degree = {"dynamic_degree": dynamic_degree(frames, clip.fps)}
        return VideoScores(sta | {"dyn": fmean(dynamic.values())}, details=static | dynamic | degree)


def make(options: MetricOptions) -> Quality:
    """Without weights, or with those of `quality_learned` where the setting `learned` is true."""
    if unknown := sorted(options.settings.keys() - {"learned"}):
        raise ValueError(f"there is no setting {unknown[0]!r}; there is learned, true or false")
    if not isinstance(learned := options.settings.get("learned", False), bool):
        raise ValueError(f"learned is {learned!r}; it must be true or false")
    if not learned:
        return Quality(describe(IMAGING, TEMPORAL), IMAGING, TEMPORAL)
    made: Quality = needed("rlhf.evaluation.metrics.quality_learned", "torch transformers").make(options)
    return made


def describe(
    frame_wise: Iterable[str], temporal: Iterable[str], weights: Sequence[Weights] = ()
) -> MetricFacts:
    """The facts of a mix of dimensions, by their names; the mix is part of them."""
    lines = "".join(f"{entry.sha256}  {entry.name}\n" for entry in weights)
    return MetricFacts(
        metric="quality",
        columns=("sta", "dyn"),
        model=", ".join(entry.name for entry in weights) or "weight-free",
        weights_sha256=hashlib.sha256(lines.encode()).hexdigest() if weights else "",
        licence=", ".join(sorted({entry.licence for entry in weights})) or "Apache-2.0",
        frames="all",
        missing=f"a clip of fewer than {MIN_FRAMES} frames has no Dyn.",
        settings={
            "sta": list(frame_wise),
            "dyn": list(temporal),
            "reported_only": ["dynamic_degree"],
            "mean": "plain, of values as they are",
            "max_side": MAX_SIDE,
            "imaging": {
                "mean_of": list(IMAGING),
                "median": MEDIAN,
                "blur": BLUR,
                "worst_noise": WORST_NOISE,
                "noise_block": NOISE_BLOCK,
                "calm_share": CALM_SHARE,
                "black": BLACK,
                "white": WHITE,
            },
            "flow": {"farneback": FARNEBACK},
            "opencv": cv2.__version__,
        },
    )


def shrink(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (H, W, 3) with at most `MAX_SIDE` pixels on its longer side."""
    height, width = frame.shape[:2]
    if max(height, width) <= MAX_SIDE:
        return frame
    small = cv2.resize(frame, fit((width, height), MAX_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def sharpness(grey: NDArray[np.uint8]) -> float:
    """One less the blur effect of Crete et al. 2007: how much of the differences a blur takes away.

    Noise has the largest differences, and would pass for sharpness without the median. Of grey (H, W), in
    [0, 1]; 0 for an even area, the worse of both directions.
    """
    picture = cv2.medianBlur(grey, MEDIAN).astype(np.float64)
    along = []
    for axis, box in ((0, (1, BLUR)), (1, (BLUR, 1))):
        blurred = cv2.blur(picture, box)
        before, after = (np.abs(np.diff(p, axis=axis)) for p in (picture, blurred))
        total = before.sum()
        along.append(float(np.maximum(0.0, before - after).sum() / total) if total else 0.0)
    return min(along)


def cleanness(grey: NDArray[np.uint8]) -> float:
    """One less the noise of the calmest blocks over `WORST_NOISE`, by Immerkaer 1996.

    In [0, 1], of grey (H, W) of at least 10 x 10. Texture counts only where it leaves no calm block.
    """
    answer = np.abs(cv2.filter2D(grey.astype(np.float64), -1, _NOISE_KERNEL))[1:-1, 1:-1]
    rows, columns = (length // NOISE_BLOCK for length in answer.shape)
    blocks = answer[: rows * NOISE_BLOCK, : columns * NOISE_BLOCK]
    means = blocks.reshape(rows, NOISE_BLOCK, columns, NOISE_BLOCK).mean(axis=(1, 3))
    deviation = np.sqrt(np.pi / 2) / 6 * np.quantile(means, CALM_SHARE)
    return float(max(0.0, 1 - deviation / WORST_NOISE))


def exposure(grey: NDArray[np.uint8]) -> float:
    """The share of pixels of (H, W) that are neither black nor white."""
    return float(((grey > BLACK) & (grey < WHITE)).mean())


def _mean_over_frames(measure: Callable[[NDArray[np.uint8]], float]) -> Dimension:
    return lambda frames: fmean(measure(to_grey(frame)) for frame in frames)


def imaging_quality(frames: Frames) -> float:
    """The mean of sharpness, cleanness and exposure, over all frames."""
    return fmean(measure(frames) for measure in IMAGING.values())


def temporal_flickering(frames: Frames) -> float:
    """One less the mean difference of neighbouring frames (H, W, 3) over 255; 1 where nothing changes."""
    return 1 - fmean(_difference(*pair) for pair in pairwise(frames))


def motion_smoothness(frames: Frames) -> float:
    """One less the mean difference, over 255, between every second frame and what its neighbours let expect.

    Of three or more frames (H, W, 3), in [0, 1]; 1 for a still, and close to it for an even movement.
    """
    triples = zip(frames[:-2:2], frames[1:-1:2], frames[2::2], strict=True)
    return 1 - fmean(_difference(middle, between(before, after)) for before, middle, after in triples)


def between(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame half-way between two (H, W, 3): the mean of both, each moved by half of its flow."""
    grey = [to_grey(frame) for frame in (before, after)]
    moved = [
        _moved_half(frame, optical_flow(here, there))
        for frame, here, there in ((before, grey[0], grey[1]), (after, grey[1], grey[0]))
    ]
    return np.asarray(cv2.addWeighted(moved[0], 0.5, moved[1], 0.5, 0), np.uint8)


def dynamic_degree(frames: Frames, fps: float) -> float:
    """Whether much moves, as VBench says it but with Farneback's flow in place of RAFT's: 0 or 1.

    About 8 frames a second are looked at. A pair of them moves when the strongest 5 % of its flow are longer
    than 6/256 of the shorter side on average (more, where frames are fewer than 8 per second); the clip does
    when 4 pairs in 16 move.

    Args:
        frames: RGB, shape (H, W, 3) each, at least two.
        fps: frames per second.
    """
    chosen = frames[:: max(1, round(fps / 8))]
    grey = [to_grey(frame) for frame in chosen]
    least = max(1.0, 8 / fps) * 6 * min(frames[0].shape[:2]) / 256
    moving = sum(_strongest(optical_flow(*pair)) > least for pair in pairwise(grey))
    return float(moving >= max(1, round(4 * len(chosen) / 16)))


def _strongest(flow: NDArray[np.float32]) -> float:
    lengths = np.sort(np.linalg.norm(flow, axis=2), axis=None)
    return float(lengths[-max(1, lengths.size // 20) :].mean())


def _moved_half(frame: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    x, y = columns - flow[..., 0] / 2, rows - flow[..., 1] / 2
    moved = cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(first, second).mean() / 255)


#: What of single frames needs no weights, and what of the whole clip.
IMAGING: Mapping[str, Dimension] = {
    measure.__name__: _mean_over_frames(measure) for measure in (sharpness, cleanness, exposure)
}
TEMPORAL: Mapping[str, Dimension] = {
    measure.__name__: measure for measure in (temporal_flickering, motion_smoothness)
}
