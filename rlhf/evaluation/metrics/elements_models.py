"""Models that find, cut out and compare things: all of transformers, from local folders, safetensors only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForZeroShotObjectDetection,
    AutoTokenizer,
    CLIPModel,
    GroundingDinoProcessor,
    Sam2Model,
)

from generator.curation.weights import Weights
from rlhf.evaluation.metrics.elements_cutout import Cutout, cut_out

#: What SAM 2 was trained on.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class GroundedSegmenter:
    """Finds a named thing with Grounding DINO and cuts it out with SAM 2.

    Args:
        detector: folder of a Grounding DINO.
        segmenter: folder of a SAM 2 or 2.1.
        box_threshold: the least confidence of a box, in [0, 1].
        text_threshold: the least confidence of a word of its label, in [0, 1].

    Raises:
        ValueError: a folder holds no such model.
    """

    def __init__(
        self, detector: Weights, segmenter: Weights, box_threshold: float, text_threshold: float
    ) -> None:
        """Load both, on the accelerator where there is one."""
        self._thresholds = {"threshold": box_threshold, "text_threshold": text_threshold}
        self._processor = _read(
            detector,
            lambda path, **local: GroundingDinoProcessor(
                AutoImageProcessor.from_pretrained(path, backend="pil", **local),
                AutoTokenizer.from_pretrained(path, **local),
            ),
        )
        self._detector = _model(
            AutoModelForZeroShotObjectDetection, detector, "grounding-dino", "mm-grounding-dino"
        )
        self._segmenter = _model(Sam2Model, segmenter, "sam2", "sam2_video")
        self._side: int = self._segmenter.config.prompt_encoder_config.image_size

    def find(self, picture: NDArray[np.uint8], name: str) -> Cutout | None:
        """The most confident one, cut out; see `elements.ElementFinder`."""
        found = self._box(picture, name)
        if found is None:
            return None
        confidence, box = found
        return cut_out(picture, self._mask(picture, box), confidence)

    @torch.inference_mode()
    def _box(self, picture: NDArray[np.uint8], name: str) -> tuple[float, list[float]] | None:
        """Confidence and left, top, right, bottom in pixels."""
        # Grounding DINO was trained on phrases in small letters, each ended by a full stop.
        text = f"{name.lower().rstrip('. ')}."
        inputs = self._processor(images=Image.fromarray(picture), text=text, return_tensors="pt")
        tokens, limit = inputs["input_ids"].shape[1], self._detector.config.max_text_len
        if tokens > limit:  # transformers would cut it
            raise ValueError(
                f"{name[:60]!r} has {tokens} tokens and the detector reads {limit}; name it in fewer words"
            )
        outputs = self._detector(**inputs.to(self._detector.device))
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], target_sizes=[picture.shape[:2]], **self._thresholds
        )
        # Where there is no box, transformers gives one label, an empty one.
        labelled = zip(found["scores"].tolist(), found["boxes"].tolist(), found["text_labels"], strict=False)
        boxes = [(score, box) for score, box, label in labelled if label]
        return max(boxes, default=None)

    @torch.inference_mode()
    def _mask(self, picture: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.bool_]:
        """Shape (H, W). Its own processor would need torchvision, for this much."""
        height, width = picture.shape[:2]
        side = self._side
        square = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy((square / 255 - _MEAN) / _DEVIATION).permute(2, 0, 1)[None].float()
        corners = torch.tensor(box) * torch.tensor([side / width, side / height] * 2)
        outputs = self._segmenter(
            pixel_values=pixels.to(self._segmenter.device),
            input_boxes=corners[None, None].to(self._segmenter.device),
            multimask_output=False,
        )
        mask = torch.nn.functional.interpolate(
            outputs.pred_masks[:, 0], (height, width), mode="bilinear", align_corners=False
        )
        inside: NDArray[np.bool_] = (mask[0, 0] > 0).cpu().numpy()
        return inside


class PictureEmbedder:
    """Pictures as vectors.

    Args:
        weights: folder of the model and its image processor.
        kind: loads the model.
        types: of the model, any of which will do.
        ask: shows it pixels, (B, 3, H, W), and gives its vectors, (B, D).

    Raises:
        ValueError: the folder holds no such model.
    """

    def __init__(
        self, weights: Weights, kind: Any, types: Sequence[str], ask: Callable[[Any, Tensor], Tensor]
    ) -> None:
        """Load it, on the accelerator where there is one."""
        self.weights = weights
        # Figures must not depend on whether torchvision is installed.
        self._processor = _read(
            weights, lambda path, **local: AutoImageProcessor.from_pretrained(path, backend="pil", **local)
        )
        self._model = _model(kind, weights, *types)
        self._ask = ask

    @torch.inference_mode()
    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Unit vectors, shape (B, D); see `elements.Embedder`."""
        images = [Image.fromarray(picture) for picture in pictures]
        inputs = self._processor(images=images, return_tensors="pt")
        vectors = self._ask(self._model, inputs["pixel_values"].to(self._model.device))
        unit = torch.nn.functional.normalize(vectors.double(), dim=1)
        embedded: NDArray[np.float64] = unit.cpu().numpy()
        return embedded


def clip_embedder(weights: Weights) -> PictureEmbedder:
    """The image side of a CLIP."""

    def ask(model: Any, pixels: Tensor) -> Tensor:
        features: Tensor = model.get_image_features(pixel_values=pixels).pooler_output
        return features

    return PictureEmbedder(weights, CLIPModel, ("clip",), ask)


def class_token(model: Any, pixels: Tensor) -> Tensor:
    """What a DINO says of pictures, (B, D)."""
    token: Tensor = model(pixel_values=pixels).last_hidden_state[:, 0]
    return token


def dino_embedder(weights: Weights) -> PictureEmbedder:
    """A DINOv2, by its class token."""
    return PictureEmbedder(weights, AutoModel, ("dinov2", "dinov2_with_registers"), class_token)


def _model(kind: Any, weights: Weights, *types: str) -> Any:
    """A model of one of these types, all of whose weights are there; others would be drawn at random."""
    config = _read(weights, AutoConfig.from_pretrained)
    if config.model_type not in types:
        raise ValueError(f"{weights.path.name} holds a {config.model_type}; give a {' or '.join(types)}")
    load = partial(kind.from_pretrained, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
    model, loading = _read(weights, load)
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{weights.path.name} has no weights for {missing[0]} and {len(missing) - 1} more")
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _read(weights: Weights, load: Callable[..., Any]) -> Any:
    try:
        return load(weights.path, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:300]
        raise ValueError(f"{weights.path.name} cannot be loaded: {detail}") from None
