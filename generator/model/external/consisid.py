"""ConsisID through diffusers: one photo of a face and a prompt become a video.

Source: ConsisID, Identity-Preserving Text-to-Video Generation by Frequency Decomposition (arXiv 2411.17440);
the pipeline, and what its face models see, are diffusers' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ConsisIDPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from generator.faults import to_pixels
from generator.model.external.local import accelerator, check_pipeline, load_local
from generator.prompt_reading import PromptReader
from generator.records import SamplerSettings

#: What the face models are loaded from. Their libraries would download what is missing.
_FACE_FILES = (
    "face_encoder/detection_Resnet50_Final.pth",
    "face_encoder/parsing_bisenet.pth",
    "face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt",
    "face_encoder/models/antelopev2/glintr100.onnx",
    "face_encoder/models/antelopev2/scrfd_10g_bnkps.onnx",
)
_FACE_PACKAGES = ("insightface", "onnxruntime", "facexlib", "torchvision", "consisid_eva_clip")


@dataclass(frozen=True)
class Face:
    """What ConsisID's face models see in a photo."""

    crop: Image.Image  # the aligned face on white
    embedding: Tensor  # (1, D) of the whole face
    hidden: list[Tensor]  # (1, T, V) features of several depths
    keypoints: NDArray[np.float32] | None = None  # (5, 2) pixels, or None


#: Sees the face in RGB (H, W, 3) uint8; raises ValueError where there is none.
See = Callable[[NDArray[np.uint8]], Face]


class ConsisID:
    """Makes videos of one photo.

    Args:
        pipeline: the released one, or one of its kind.
        see: its face models.
        settings: of the videos.
    """

    def __init__(self, pipeline: ConsisIDPipeline, see: See, settings: SamplerSettings) -> None:
        self.settings = settings
        self._pipeline, self._see = pipeline, see

    def make(self, picture: NDArray[np.uint8], prompt: str, seed: int) -> NDArray[np.uint8]:
        """Make one video.

        Args:
            picture: RGB, shape (H, W, 3).
            prompt: the whole scene.
            seed: of the noise, which is drawn on the CPU.

        Returns:
            RGB, shape (F, H, W, 3).

        Raises:
            ValueError: no face is found in the picture, or the model would cut the prompt.
        """
        limit = self._pipeline.transformer.config.max_text_seq_length
        PromptReader.of_transformers(self._pipeline.tokenizer, limit).check_length(prompt)
        face = self._see(picture)
        video = self._pipeline(
            image=face.crop,
            prompt=prompt,
            **self.settings.pipeline_arguments,
            generator=torch.Generator().manual_seed(seed),
            max_sequence_length=limit,
            id_cond=face.embedding,
            id_vit_hidden=face.hidden,
            kps_cond=face.keypoints,
            output_type="np",
        ).frames[0]
        return to_pixels(video, "ConsisID")


def load_consisid(
    weights: Path, settings: SamplerSettings, *, allow_non_commercial: bool = False
) -> ConsisID:
    """Load ConsisID and its face models from a local folder, on the accelerator where there is one.

    Args:
        weights: folder as released, with `face_encoder/`; nothing is downloaded.
        settings: of the videos.
        allow_non_commercial: its face models include antelopev2, which is for research only.

    Raises:
        ValueError: a part or a package is missing; the message names it.
    """
    check_pipeline(weights)
    device, dtype = accelerator()
    see = load_face_models(weights, device, dtype, allow_non_commercial=allow_non_commercial)
    return ConsisID(load_local(ConsisIDPipeline, weights, device, dtype), see, settings)


def load_face_models(
    weights: Path, device: torch.device, dtype: torch.dtype, *, allow_non_commercial: bool
) -> See:
    """What diffusers shows ConsisID of a photo; see `load_consisid`."""
    if not allow_non_commercial:
        raise ValueError(
            "ConsisID sees faces by antelopev2, which is for non-commercial research only; add "
            "--allow-non-commercial where that is what this is"
        )
    if absent := [name for name in _FACE_FILES if not (weights / name).is_file()]:
        raise ValueError(f"{weights} has no {absent[0]}; ConsisID's face models belong there, as released")
    if missing := [name for name in _FACE_PACKAGES if find_spec(name) is None]:
        raise ValueError(
            f"ConsisID's face models need {', '.join(missing)}; python -m pip install {' '.join(missing)}"
        )
    from diffusers.pipelines.consisid.consisid_utils import prepare_face_models, process_face_embeddings_infer

    helper, embedder, vision, detector, mean, std = prepare_face_models(str(weights), device, dtype)

    def see(picture: NDArray[np.uint8]) -> Face:
        models: tuple[Any, ...] = (helper, vision, embedder, mean, std, detector)
        try:
            embedding, hidden, crop, keypoints = process_face_embeddings_infer(
                *models, device, dtype, picture, is_align_face=True
            )
        except (IndexError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "align face" not in str(error):
                raise
            raise ValueError("no face is found in the picture") from None
        return Face(crop, embedding, hidden, keypoints)

    return see
