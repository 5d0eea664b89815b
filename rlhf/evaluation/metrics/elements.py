"""Ele-CLIP and Ele-DINO: how much the named things of a video are those of their pictures.

    score = mean over the elements of mean over the frames of s(cos(element in the frame, in its picture))

with s as in `LikenessSettings`. An element is found by its name, cut out and compared on white; a frame
without it counts 0. Its picture is the one that the instance names, or else the primary reference; of a clip
the frame counts that is closest to the video's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from generator.curation.detection.protocols import needed
from generator.curation.weights import Weights
from generator.validation import Count, Share, record
from rlhf.evaluation.metrics.elements_cutout import Cutout
from rlhf.evaluation.metrics.likeness import LikenessSettings, closest, scaled, spread_frames
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import (
    NOT_ASKED,
    EvaluationInstance,
    MetricError,
    MetricFacts,
    NamedElement,
    VideoScores,
)

NAME = "elements"
#: Each column with its embedder's name in the weights manifest.
EMBEDDERS: Mapping[str, str] = {"ele_clip": "clip", "ele_dino": "dinov2"}
#: Likewise of what finds and cuts out.
_FINDERS = ("grounding_dino", "sam2")


class ElementFinder(Protocol):
    """Finds a thing by its name."""

    def find(self, picture: NDArray[np.uint8], name: str) -> Cutout | None:
        """Cut the one that is most surely a "red scarf" out of RGB (H, W, 3); None where there is none."""
        ...


class Embedder(Protocol):
    """Pictures as vectors; those of one thing lie close."""

    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Embed one or more pictures, RGB (S, S, 3), each by itself, as unit vectors (B, D)."""
        ...


@record
class ElementSettings(LikenessSettings):
    """How elements are looked at, in the frames of a video and of a clip that shows them as asked for."""

    frames: Count = Field(default=8, description="of a clip, so many at most are looked at, evenly spread")
    box_threshold: Share = Field(default=0.25, description="the least confidence of a found box")
    text_threshold: Share = Field(default=0.25, description="the least confidence of a word of its label")


def make(options: MetricOptions) -> ElementMetric:
    """Load all four models: `grounding_dino`, `sam2`, `clip` and `dinov2` of the weights manifest."""
    settings = ElementSettings.from_json(options.settings)
    weights = {name: options.weights(name) for name in (*_FINDERS, *EMBEDDERS.values())}
    models = needed("rlhf.evaluation.metrics.elements_models", "torch transformers")
    finder = models.GroundedSegmenter(
        *(weights[name] for name in _FINDERS), settings.box_threshold, settings.text_threshold
    )
    embedders = {
        "ele_clip": models.clip_embedder(weights["clip"]),
        "ele_dino": models.dino_embedder(weights["dinov2"]),
    }
    return ElementMetric(finder, embedders, tuple(weights.values()), settings)


@dataclass
class ElementMetric:
    """A `rlhf.evaluation.records.Metric`; the pictures of elements are looked at once."""

    finder: ElementFinder  # finds and cuts out
    embedders: Mapping[str, Embedder]  # by column
    weights: tuple[Weights, ...]  # of all models
    settings: ElementSettings = field(default_factory=ElementSettings)  # how it compares
    _known: dict[tuple[Path, str], dict[str, NDArray[np.float64]] | None] = field(default_factory=dict)

    @property
    def facts(self) -> MetricFacts:
        """What its figures rest on."""
        lines = "".join(f"{weights.sha256}  {weights.name}\n" for weights in self.weights)
        return MetricFacts(
            metric=NAME,
            columns=tuple(self.embedders),
            model="Grounding DINO, SAM 2, CLIP, DINOv2",
            weights_sha256=hashlib.sha256(lines.encode()).hexdigest(),
            licence=", ".join(sorted({weights.licence for weights in self.weights})),
            frames=self.settings.words,
            missing="a frame without the element counts 0; one that its picture does not show is a hole",
            settings={
                "scale": self.settings.scale,
                "box_threshold": self.settings.box_threshold,
                "text_threshold": self.settings.text_threshold,
                "element": "the most confident box, cut out by its mask, in the middle of a white square",
                "picture": "the one that the instance names, else the primary",
                "picture_clip": "its look closest to the frame's",
                "weights": {
                    weights.name: {"sha256": weights.sha256, "licence": weights.licence}
                    for weights in self.weights
                },
            },
        )

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Compare the elements of one video with their pictures; see `Metric.score`."""
        if not instance.elements:
            return VideoScores({}, dict.fromkeys(self.embedders, f"{NOT_ASKED}no element is named"))
        shown = [self._shown(element, instance, resolve) for element in instance.elements]
        numbers, frames = spread_frames(video, self.settings.frames)
        elements = [
            {"name": element.name, **self._compare(frames, element.name, wanted)}
            for element, wanted in zip(instance.elements, shown, strict=True)
        ]
        values = {
            column: float(np.mean([element[column]["value"] for element in elements]))
            for column in self.embedders
        }
        return VideoScores(values, details={"frames": numbers, "elements": elements})

    def _compare(
        self, frames: NDArray[np.uint8], name: str, wanted: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        """One element over all frames: by column its value, and raw cosines where it was found."""
        cutouts = [self.finder.find(frame, name) for frame in frames]
        pictures = [cutout.picture for cutout in cutouts if cutout is not None]
        compared: dict[str, Any] = {
            "detection_rate": len(pictures) / len(frames),
            "confidence": [None if cutout is None else cutout.confidence for cutout in cutouts],
        }
        for column, embedder in self.embedders.items():
            vectors = embedder.embed(pictures) if pictures else np.empty((0, 0))
            cosines = closest(vectors, [wanted[column]])[:, 0]
            rest = iter(cosines.tolist())
            compared[column] = {
                # Frames without the element stay in the denominator.
                "value": float(scaled(cosines, self.settings.scale).sum()) / len(frames),
                "cosines": [None if cutout is None else next(rest) for cutout in cutouts],
            }
        return compared

    def _shown(
        self, element: NamedElement, instance: EvaluationInstance, resolve: Callable[[str], Path]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Embeddings of an element in its picture, by column, shape (K, D)."""
        named = element.path or next((path for path, _ in instance.references), None)
        if named is None:
            raise MetricError(
                f"{element.name!r} of {instance.instance_id} has no picture and no primary reference"
            )
        key = (resolve(named), element.name)
        if key not in self._known:
            self._known[key] = self._embedded(*key)
        if (known := self._known[key]) is None:
            raise MetricError(f"{named} shows no {element.name!r}; name another picture of it, or rename it")
        return known

    def _embedded(self, path: Path, name: str) -> dict[str, NDArray[np.float64]] | None:
        _, frames = spread_frames(path, self.settings.frames)
        cutouts = [self.finder.find(frame, name) for frame in frames]
        pictures = [cutout.picture for cutout in cutouts if cutout is not None]
        if not pictures:
            return None
        return {column: embedder.embed(pictures) for column, embedder in self.embedders.items()}
