"""Scores of videos by the oracle of the portrait world, one for each track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from generator.portraits.oracle import Oracle, Reading, controllability_score, identity_similarity
from generator.video import read_clip
from rlhf.records import Track


@dataclass
class OracleScorer:
    """Scores a video on both tracks, each on the evidence that people get.

    Identity is judged against the whole ID-group, controllability against all seven expected elements: those
    that the prompt changes and those that the primary reference shows. References are read once.
    """

    oracle: Oracle
    readings: dict[Path, Reading] = field(default_factory=dict)

    def score(self, video: Path, id_group: Sequence[Path], expected: Mapping[str, str]) -> dict[Track, float]:
        """Score one video.

        Args:
            video: the file.
            id_group: every reference of the person.
            expected: the state of each of the seven elements.

        Returns:
            A score in [0, 1] a track, higher is better.

        Raises:
            ValueError: a file is not readable, or an element or state is unknown.
        """
        reading = self.oracle.read(read_clip(video).frames)
        return {
            Track.IDENTITY: identity_similarity(reading, [self._reference(path) for path in id_group]),
            Track.CONTROLLABILITY: controllability_score(reading, expected),
        }

    def _reference(self, path: Path) -> Reading:
        if path not in self.readings:
            self.readings[path] = self.oracle.read(read_clip(path).frames)
        return self.readings[path]
