"""Wan VACE through diffusers: a picture of somebody and a prompt become a video.

Source: VACE, All-in-One Video Creation and Editing (arXiv 2503.07598); the pipeline is diffusers' own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import WanVACEPipeline
from numpy.typing import NDArray
from PIL import Image

from generator.faults import to_pixels
from generator.model.external.local import accelerator, load_local
from generator.prompt_reading import MAX_TOKENS, PromptReader
from generator.records import SamplerSettings


class Vace:
    """Makes videos of one picture.

    Args:
        pipeline: a released one, or one of its kind.
        settings: of the videos.
    """

    def __init__(self, pipeline: WanVACEPipeline, settings: SamplerSettings) -> None:
        self.settings = settings
        self._pipeline = pipeline

    def make(self, picture: NDArray[np.uint8], prompt: str, seed: int) -> NDArray[np.uint8]:
        """Make one video, without a negative prompt.

        Args:
            picture: RGB, shape (H, W, 3).
            prompt: the whole scene.
            seed: of the noise, which is drawn on the CPU.

        Returns:
            RGB, shape (F, H, W, 3).

        Raises:
            UnreadPromptError: the model would cut the prompt.
        """
        PromptReader.of_transformers(self._pipeline.tokenizer, MAX_TOKENS).check_length(prompt)
        video = self._pipeline(
            prompt=prompt,
            reference_images=[Image.fromarray(picture)],
            **self.settings.pipeline_arguments,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
            max_sequence_length=MAX_TOKENS,
        ).frames[0]
        return to_pixels(video, "VACE")


def load_vace(weights: Path, settings: SamplerSettings) -> Vace:
    """Load VACE from a local folder, on the accelerator where there is one; raises as `load_local` does."""
    pipeline = load_local(WanVACEPipeline, weights, *accelerator())
    pipeline.vae.float()  # as released: in bfloat16 it decodes visibly worse
    return Vace(pipeline, settings)
