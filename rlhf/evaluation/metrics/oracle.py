"""The oracle of the portrait world under the interface of all metrics.

It stands in for what the paper measures with networks that cannot be shipped: Holi- by how much each single
reference looks like the video's person, Ele- by what must stay as in the primary, App., Mot. and Bg. by what
the prompt changes. The two tracks are there too, each on the evidence that people get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from generator.files import file_sha256
from generator.portraits.fault_reading import read_faults
from generator.portraits.oracle import (
    GLANCES,
    WEIGHTS,
    Oracle,
    Reading,
    controllability_log_likelihood,
    controllability_score,
    identity_log_likelihood,
    identity_similarity,
    most_likely,
)
from generator.portraits.planted_faults import PlantedFault
from rlhf.evaluation.columns import columns_of
from rlhf.evaluation.metrics.likeness import read_frames
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import NOT_ASKED, EvaluationInstance, MetricError, MetricFacts, VideoScores
from rlhf.records import Track

NAME = "oracle"
#: Which changed elements each column looks at.
CHANGES: Mapping[str, tuple[str, ...]] = {
    "app_oracle": ("hairstyle", "clothing", "accessories", "expression"),
    "mot_oracle": ("camera_shot", "action"),
    "bg_oracle": ("background",),
}
#: Frames of a video's curve, at most.
CURVE_FRAMES = 16


def make(options: MetricOptions) -> OracleMetric:
    """Load the shipped oracle."""
    if options.settings:
        raise ValueError(f"oracle takes no setting, but {', '.join(options.settings)} was given")
    return OracleMetric(Oracle.load())


@dataclass
class OracleMetric:
    """Scores videos of drawn people; references are read once."""

    oracle: Oracle
    _readings: dict[Path, Reading] = field(default_factory=dict)
    _ceilings: dict[tuple[Path, ...], float | None] = field(default_factory=dict)

    @property
    def trust(self) -> Mapping[str, Any]:
        """How far the oracle can be trusted, as measured when it was trained."""
        return self.oracle.trust

    @property
    def facts(self) -> MetricFacts:
        """What its figures rest on."""
        return MetricFacts(
            metric=NAME,
            columns=tuple(column.name for column in columns_of(NAME)),
            model="oracle of the portrait world",
            weights_sha256=file_sha256(WEIGHTS),
            licence="Apache-2.0",
            frames=f"{GLANCES} at most, evenly spread, first and last among them",
            missing="a frame without a person counts as one in which nothing is certain",
        )

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Score one video, see `Metric`; the instance's states are those of the portrait world."""
        if not instance.id_group:
            raise MetricError(f"instance {instance.instance_id} has an empty id_group; name its references")
        frames = read_frames(video)
        reading = self.oracle.read(frames)
        paths = tuple(resolve(path) for path in instance.id_group)
        group = [self._reference(path) for path in paths]
        each = [identity_similarity(reading, [reference]) for reference in group]
        holi, ceiling = float(np.mean(each)), self._ceiling(paths)
        values = {
            "holi_oracle": holi,
            str(Track.IDENTITY): identity_similarity(reading, group),
            f"{Track.IDENTITY}_nats": identity_log_likelihood(reading, group),
        }
        shown, holes = element_scores(reading, instance)
        primary = most_likely(self._reference(resolve(instance.references[0][0])))
        faults, unseen = fault_scores(reading, frames, group, primary, instance, holes)
        details = {
            "per_reference": dict(zip(instance.id_group, each, strict=True)),
            **self._curve(frames, group),
            "ceiling": ceiling,
            "copy_paste": ceiling is not None and holi > ceiling,
            "elements": {
                name: reading.elements[name] for name in instance.expected if name in reading.elements
            },
        }
        return VideoScores(values | shown | faults, holes | unseen, details)

    def _reference(self, path: Path) -> Reading:
        if path not in self._readings:
            self._readings[path] = self.oracle.read(read_frames(path))
        return self._readings[path]

    def _ceiling(self, paths: tuple[Path, ...]) -> float | None:
        """How alike real references of one person are to each other, each left out once."""
        if paths not in self._ceilings:
            readings = [self._reference(path) for path in paths]
            alike = [
                identity_similarity(reading, [other])
                for reading in readings
                for other in readings
                if reading is not other
            ]
            self._ceilings[paths] = float(np.mean(alike)) if alike else None
        return self._ceilings[paths]

    def _curve(self, frames: np.ndarray, group: Sequence[Reading]) -> dict[str, list[float] | list[int]]:
        """Similarity to all references, and how certain the reading was, frame by frame."""
        picks = np.linspace(0, len(frames) - 1, min(len(frames), CURVE_FRAMES)).round().astype(int).tolist()
        readings = [self.oracle.read(frames[pick : pick + 1]) for pick in picks]
        return {
            "frames": picks,
            "per_frame": [identity_similarity(reading, group) for reading in readings],
            "certainty": [float(reading.certainty.mean()) for reading in readings],
        }


def element_scores(reading: Reading, instance: EvaluationInstance) -> tuple[dict[str, float], dict[str, str]]:
    """Values and holes of the columns that are about elements."""
    values: dict[str, float] = {}
    holes: dict[str, str] = {}
    for column, expected in _asked_for(instance).items():
        if not instance.expected:
            holes[column] = f"{NOT_ASKED}nobody wrote down what this video shall show"
        elif not expected:
            holes[column] = (
                f"{NOT_ASKED}nothing of this kind {'stays' if column == 'ele_oracle' else 'changes'}"
            )
        else:
            try:
                values[column] = controllability_score(reading, expected)
            except ValueError as error:
                holes[column] = str(error)
    track = str(Track.CONTROLLABILITY)
    if track in values:
        values[f"{track}_nats"] = controllability_log_likelihood(reading, instance.expected)
    else:
        holes[f"{track}_nats"] = holes[track]
    return values, holes


def fault_scores(
    reading: Reading,
    frames: np.ndarray,
    group: Sequence[Reading],
    primary: Mapping[str, str],
    instance: EvaluationInstance,
    holes: Mapping[str, str],
) -> tuple[dict[str, float], dict[str, str]]:
    """Values and holes of the columns that count planted faults; `holes` are those of `element_scores`."""
    track = str(Track.CONTROLLABILITY)
    expected = {} if track in holes else instance.expected
    changed = [element for element in instance.changed if element in expected]
    found = read_faults(
        reading, frames, references=group, primary=primary, expected=expected, changed=changed
    )
    why = holes.get(track, f"{NOT_ASKED}nothing was to change or to move, so that it could not be seen")
    return (
        {f"fault_{fault}": float(is_there) for fault, is_there in found.items()},
        {f"fault_{fault}": why for fault in PlantedFault if fault not in found},
    )


def _asked_for(instance: EvaluationInstance) -> dict[str, dict[str, str]]:
    """The expected states that each column looks at."""
    changed = set(instance.changed)
    return {
        str(Track.CONTROLLABILITY): dict(instance.expected),
        "ele_oracle": {e: state for e, state in instance.expected.items() if e not in changed},
        **{
            column: {e: state for e, state in instance.expected.items() if e in changed.intersection(kind)}
            for column, kind in CHANGES.items()
        },
    }
