"""What the lean encoding of display copies saves, and what it costs in visible detail.

    python -m bench.encoding FOLDER

Every MP4 of a folder, and a drawn person as the shipped model learns them, is written in both encodings. SSIM
is of brightness, the mean over all frames, and of the worst frame; VMAF too, where `pip install vmaf-torch`
was done. Both compare with the frames that were encoded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from generator.media.encoder import write_clip
from generator.media.video import read_clip
from generator.portraits.people import plan_person
from generator.portraits.world import SPLIT_SEEDS, draw_identity
from generator.records import Encoding

Frames = NDArray[np.uint8]
#: Of a clip, so that memory stays small.
MAX_FRAMES = 81
#: Of the drawn person.
DRAWN_FPS = 8
#: VMAF looks at a picture in four halvings, and at all frames at once.
MIN_VMAF_SIDE, MAX_VMAF_FRAMES = 192, 24
#: Of Wang et al. (2004): a Gaussian window, and what keeps the ratio finite where nothing varies.
WINDOW, SIGMA, C1, C2 = (11, 11), 1.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/encoding.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoding", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="of MP4 files, with those in folders of it")
    options = parser.parse_args(list(arguments))
    from bench.timing import report

    with tempfile.TemporaryDirectory() as work:
        rows = [_measure(name, frames, fps, Path(work)) for name, frames, fps in _clips(options.folder)]
    report("encoding", rows)


def _clips(folder: Path | None) -> Iterator[tuple[str, Frames, float]]:
    person = SPLIT_SEEDS["benchmark"]
    drawn = [item for item in plan_person(person) if item.kind.is_clip]
    yield "drawn person", drawn[0].render(draw_identity(person)), DRAWN_FPS
    for path in sorted(folder.rglob("*.mp4")) if folder else ():
        clip = read_clip(path)
        height, width = (side // 2 * 2 for side in clip.frames.shape[1:3])
        yield path.name, clip.frames[:MAX_FRAMES, :height, :width], clip.fps


def _measure(name: str, frames: Frames, fps: float, work: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "clip": name,
        "frames": len(frames),
        "size": f"{frames.shape[2]}x{frames.shape[1]}",
    }
    for encoding in Encoding:
        file = work / f"{encoding}.mp4"
        write_clip(file, frames, fps, encoding)
        decoded = read_clip(file).frames
        ssim = [_ssim(one, other) for one, other in zip(frames, decoded, strict=True)]
        row |= {
            f"{encoding}_bytes": file.stat().st_size,
            f"{encoding}_ssim": float(np.mean(ssim)),
            f"{encoding}_worst_ssim": min(ssim),
            f"{encoding}_vmaf": _vmaf(frames, decoded),
        }
    return row


def _ssim(one: Frames, other: Frames) -> float:
    """Structural similarity of the brightness of two pictures (H, W, 3): 1 where they are equal."""
    a, b = (_grey(frame).astype(np.float64) for frame in (one, other))
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return float(np.mean(alike / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))))


def _grey(frame: Frames) -> Frames:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _blur(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, WINDOW, SIGMA), np.float64)


def _vmaf(reference: Frames, decoded: Frames) -> float | None:
    """Of 100; None where no implementation is installed, or the clip is too small for one."""
    try:
        from vmaf_torch import VMAF
    except ImportError:
        return None
    import torch

    if min(reference.shape[1:3]) < MIN_VMAF_SIDE:
        return None
    # Of brightness as files hold it, from 16 to 235.
    one, other = (
        16 + 219 / 255 * torch.stack([torch.from_numpy(_grey(frame)) for frame in frames])[:, None]
        for frames in (reference[:MAX_VMAF_FRAMES], decoded[:MAX_VMAF_FRAMES])
    )
    with torch.inference_mode():
        return float(VMAF()(one, other).mean())


if __name__ == "__main__":
    main(sys.argv[1:])
