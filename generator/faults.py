"""Videos that are none: not finite, or of one colour throughout; and the step at which that began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Levels of 255 within which every pixel of a constant video lies: rounding alone makes one of them.
CONSTANT_RANGE = 1
#: Latents have a variance of about 1; beyond this the decoder only knows its darkest and brightest answers.
LATENT_LIMIT = 100.0


@dataclass(frozen=True)
class Fault:
    """Why a video cannot be used."""

    reason: str  # one line, which names the step
    #: The denoising step, from 1, whose result was the first bad one; 0 where the noise was bad already; None
    #: where the latents were good to the end, so that the decoder is at fault.
    step: int | None


class NotFiniteError(ValueError):
    """A model gave numbers that are not finite; the message says which."""


class BrokenVideoError(NotFiniteError):
    """Videos of a call are not finite or of one colour throughout.

    Attributes:
        faults: by the video's index in its batch.
        videos: all of the batch, (B, F, H, W, 3) uint8, or latents where those were asked for. The others are
            as good as if each had been made alone.
    """

    def __init__(self, faults: Mapping[int, Fault], videos: Any) -> None:
        self.faults, self.videos = dict(faults), videos
        index, fault = next(iter(self.faults.items()))
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"video {index + 1} of {len(videos)}{others}: {fault.reason}")


class LatentTrace:
    """What the latents of each step were like: one reduction per step, and the device is asked at the end.

    Args:
        noise: (B, C, F, h, w), what sampling starts from.
    """

    def __init__(self, noise: Tensor) -> None:
        self._ranges: list[Tensor] = []
        self.add(noise)

    def add(self, latents: Tensor) -> None:
        """Look at the result of a step, (B, C, F, h, w)."""
        # Minimum and maximum are not a number where any value is not.
        self._ranges.append(torch.stack(latents.flatten(2).aminmax(dim=2)))

    @property
    def _all(self) -> Tensor:
        """(steps + 1, 2, B, C): minimum and maximum of each channel."""
        return torch.stack(self._ranges).cpu()

    def not_finite(self) -> list[Fault | None]:
        """The fault of each video whose latents ended as no numbers."""
        bad = ~self._all.isfinite().all(dim=3).all(dim=1)
        return [self._fault(video, "its latents are not finite") for video in bad.unbind(1)]

    def faults(self, videos: NDArray[np.uint8], finite: Sequence[bool]) -> list[Fault | None]:
        """What is wrong with each video that was decoded.

        Args:
            videos: (B, F, H, W, 3).
            finite: whether all numbers from which its bytes were made were finite.
        """
        faults = self.not_finite()
        for index, (video, is_finite) in enumerate(zip(videos, finite, strict=True)):
            if faults[index] is None and not is_finite:
                faults[index] = self._of_pixels(index, "its pixels are not finite")
            elif faults[index] is None and is_constant(video):
                faults[index] = self._of_pixels(index, "its pixels are all of one colour")
        return faults

    def _of_pixels(self, index: int, what: str) -> Fault:
        """The fault of a video's pixels, traced back to latents that do not vary, or that are too large."""
        ranges = self._all[:, :, index]
        constant = (ranges[:, 0] == ranges[:, 1]).all(dim=1)
        large = (ranges.abs() > LATENT_LIMIT).any(dim=2).any(dim=1)
        return (
            self._fault(constant, f"{what}: its latents do not vary over pixels and frames")
            or self._fault(large, f"{what}: its latents are beyond ±{LATENT_LIMIT:g}")
            or Fault(f"{what}, though its latents are good at every step; check the weights of the VAE", None)
        )

    def _fault(self, bad: Tensor, what: str) -> Fault | None:
        step = _since(bad)
        if step is None:
            return None
        return Fault(
            f"{what} from {f'step {step} of {len(self._ranges) - 1}' if step else 'the noise'} on", step
        )


def is_constant(video: NDArray[np.uint8]) -> bool:
    """Whether a video (F, H, W, 3) is of one colour throughout."""
    colours = video.reshape(-1, video.shape[-1])
    return bool((np.ptp(colours, axis=0) <= CONSTANT_RANGE).all())


def check_videos(faults: Sequence[Fault | None], videos: Any) -> None:
    """Raise BrokenVideoError for a batch with a video that cannot be used."""
    broken = {index: fault for index, fault in enumerate(faults) if fault is not None}
    if broken:
        raise BrokenVideoError(broken, videos)


def check_finite(values: Tensor, name: str) -> None:
    """Raise NotFiniteError where some numbers are not finite."""
    if not bool(values.isfinite().all()):
        raise NotFiniteError(f"{name} are not finite; check the model's weights and their precision")


def to_pixels(video: np.ndarray, model: str) -> NDArray[np.uint8]:
    """A model's video as bytes.

    Args:
        video: (F, H, W, 3), floats in [0, 1].
        model: its name, for the message.

    Raises:
        NotFiniteError: not finite, or of one colour throughout.
    """
    if not np.isfinite(video).all():
        raise NotFiniteError(
            f"{model} made a video that is not finite; check its weights and their precision"
        )
    pixels = (video * 255).round().clip(0, 255).astype(np.uint8)
    if is_constant(pixels):
        raise NotFiniteError(f"{model} made a video of one colour throughout; check its weights")
    return pixels


def _since(bad: Tensor) -> int | None:
    """The first of the steps that are bad to the end, or None where the last one is good."""
    if not bad[-1]:
        return None
    good = (~bad).nonzero()
    return int(good[-1]) + 1 if len(good) else 0
