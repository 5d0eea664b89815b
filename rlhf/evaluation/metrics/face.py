"""Holi-Arc, Holi-Cur and Holi-SFace: how much the face in a video is the face of its references.

    score = mean over the frames of mean over the references of s(cos(frame, reference))

with s as in `LikenessSettings`; a frame without a face counts 0, so that a video which shows the face once
does not score like one that keeps it. Of a clip among the references the face closest to the frame's counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from generator.curation.detection.loading import load_detectors
from generator.curation.detection.protocols import FaceDetector
from generator.curation.settings import DetectorSettings
from generator.curation.weights import Weights
from generator.validation import record
from rlhf.evaluation.metrics.face_alignment import ALIGNMENT, face_crop
from rlhf.evaluation.metrics.face_embedders import ArcFace, CurricularFace, Embedder, SFace
from rlhf.evaluation.metrics.likeness import LikenessSettings, closest, scaled, spread_frames
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import EvaluationInstance, MetricError, MetricFacts, VideoScores

_Vectors = NDArray[np.float64]


@record
class FaceSettings(LikenessSettings):
    """How a face metric compares, in the frames of a video and of a clip among the references alike."""

    detector: str = Field(default="yunet", description="one of generator.curation.settings.FACE_DETECTORS")


@dataclass
class FaceMetric:
    """A `rlhf.evaluation.records.Metric` of one column; references are looked at once."""

    column: str  # of the table
    detector: FaceDetector  # finds faces
    embedder: Embedder  # tells them apart
    settings: FaceSettings = field(default_factory=FaceSettings)  # how it compares
    _known: dict[Path, _Vectors] = field(default_factory=dict)

    @property
    def facts(self) -> MetricFacts:
        """What its figures rest on."""
        return MetricFacts(
            metric=self.column,
            columns=(self.column,),
            model=f"{self.embedder.name}, faces by {self.detector.info.name}",
            weights_sha256=self.embedder.weights.sha256,
            licence=self.embedder.weights.licence,
            frames=self.settings.words,
            missing="a frame without a face counts 0; a reference without one is left out and named",
            settings={
                "scale": self.settings.scale,
                "reference_clip": "its face closest to the frame's",
                "detector": asdict(self.detector.info),
                **ALIGNMENT,
            },
        )

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Compare one video with all references of its person; see `Metric.score`."""
        known = {path: self._reference(resolve(path)) for path in instance.id_group}
        references = {path: faces for path, faces in known.items() if len(faces)}
        if not references:
            raise MetricError(
                f"none of the {len(known)} references of {instance.identity or instance.instance_id} shows a "
                f"face to {self.detector.info.name}; add one that does, or use another detector"
            )
        numbers, frames = spread_frames(video, self.settings.frames)
        crops = [face_crop(frame, self.detector) for frame in frames]
        cosines = closest(self._embedded(crops), list(references.values()))
        value, details = self._summary(cosines, [crop is not None for crop in crops], references)
        without = [path for path in known if path not in references]
        return VideoScores(
            {self.column: value}, details={"frames": numbers, **details, "references_without_face": without}
        )

    def _summary(
        self, cosines: _Vectors, seen: Sequence[bool], references: Mapping[str, _Vectors]
    ) -> tuple[float, dict[str, Any]]:
        """The score, and what it is made of; `cosines` has a row for each frame in which a face was seen."""
        similar = scaled(cosines, self.settings.scale)
        rows = iter(range(len(cosines)))
        places = [next(rows) if face else None for face in seen]
        when_seen = float(similar.mean()) if len(similar) else None
        ceiling = self._ceiling(list(references.values()))
        # Frames without a face stay in the denominator.
        by_reference = similar.sum(axis=0) / len(seen)
        details = {
            "per_reference": dict(zip(references, by_reference.tolist(), strict=True)),
            "per_frame": [None if row is None else float(similar[row].mean()) for row in places],
            "cosines": [None if row is None else cosines[row].tolist() for row in places],
            "reference_faces": {path: len(faces) for path, faces in references.items()},
            "detection_rate": len(cosines) / len(seen),
            "similarity_when_seen": when_seen,
            "ceiling": ceiling,
            # Closer than real media of the person are to each other: copied rather than kept.
            "copy_paste": ceiling is not None and when_seen is not None and when_seen > ceiling,
        }
        return float(by_reference.mean()), details

    def _ceiling(self, references: Sequence[_Vectors]) -> float | None:
        """What each real reference would score against the others, on average; None for only one."""
        if len(references) < 2:
            return None
        scores = [
            scaled(
                closest(faces, [*references[:index], *references[index + 1 :]]), self.settings.scale
            ).mean()
            for index, faces in enumerate(references)
        ]
        return float(np.mean(scores))

    def _reference(self, path: Path) -> _Vectors:
        """The faces of one reference, shape (K, D); K is 0 where it shows none."""
        if path not in self._known:
            _, frames = spread_frames(path, self.settings.frames)
            self._known[path] = self._embedded([face_crop(frame, self.detector) for frame in frames])
        return self._known[path]

    def _embedded(self, crops: Sequence[NDArray[np.uint8] | None]) -> _Vectors:
        faces = [crop for crop in crops if crop is not None]
        return self.embedder.embed(np.stack(faces)) if faces else np.empty((0, 0))


def _make(column: str, entry: str, load: Callable[[Weights], Embedder], options: MetricOptions) -> FaceMetric:
    settings = FaceSettings.from_json(options.settings)
    detectors = load_detectors(
        DetectorSettings(
            settings.detector,
            models=options.models_folder,
            allow_non_commercial=options.allow_non_commercial,
        )
    )
    return FaceMetric(column, detectors.faces, load(options.weights(entry)), settings)


#: The metrics of the three columns, with the weights of the manifest that each needs.
make_arc = partial(_make, "holi_arc", "arcface", ArcFace)
make_cur = partial(_make, "holi_cur", "curricularface", CurricularFace)
make_sface = partial(_make, "holi_sface", "sface", SFace)
