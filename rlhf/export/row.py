"""One exported pair as a record, and as one line of `pairs.jsonl`.

`win` and `lose` are words of the file format only; code says chosen and rejected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generator.frozen_set import MediaFile
from generator.records import ElementChange, ReferenceKind
from rlhf.records import EXPRESSED, FAVOURED, Consensus, Track, Verdict


@dataclass(frozen=True)
class ExportReference:
    """One reference of a pair, in the order in which the model read it."""

    file: MediaFile
    kind: ReferenceKind


@dataclass(frozen=True)
class ExportSample:
    """One generated video and the seed of its noise."""

    file: MediaFile
    seed: int


@dataclass(frozen=True)
class TrackVotes:
    """What one track said: its verdict, posterior and votes by verdict; none where it is missing."""

    verdict: Verdict
    posterior: Mapping[Verdict, float]
    votes: Mapping[Verdict, int]

    @classmethod
    def from_consensus(cls, consensus: Consensus) -> TrackVotes:
        """Take over a decided consensus.

        Raises:
            ValueError: the track has no verdict yet.
        """
        if consensus.verdict is None:
            raise ValueError("a track without a verdict cannot be exported; wait for its votes")
        return cls(consensus.verdict, dict(consensus.posterior), dict(consensus.counts))


@dataclass(frozen=True)
class ExportRow:
    """One Pareto-dominant pair.

    Attributes:
        pair_id: ascending within a set.
        id_group: name of the identity group; held-out sets are split by it.
        references: 1 to 5, the first is the primary reference.
        differential_prompt: the text that the model read.
        elements: all seven, or none where nobody described them.
        chosen: the sample that is strictly better on both tracks.
        rejected: the other one.
        tracks: both tracks.
        model_version: name of the policy that sampled the pair.
        licence: of the identity's media.
        is_simulated: whether any vote behind the pair was simulated.
    """

    pair_id: int
    id_group: str
    references: tuple[ExportReference, ...]
    differential_prompt: str
    elements: tuple[ElementChange, ...]
    chosen: ExportSample
    rejected: ExportSample
    tracks: Mapping[Track, TrackVotes]
    model_version: str
    licence: str
    is_simulated: bool = False

    def __post_init__(self) -> None:
        """Refuse rows that no trainer could use."""
        if not self.references:
            raise ValueError(f"pair {self.pair_id} has no reference; give at least the primary one")
        if set(self.tracks) != set(Track):
            raise ValueError(f"pair {self.pair_id} has tracks {sorted(self.tracks)}; both are needed")

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """Every media file of the pair; a file may appear more than once."""
        return (*(reference.file for reference in self.references), self.chosen.file, self.rejected.file)

    @property
    def certainty(self) -> float:
        """How sure the votes are, in (0, 1]: product of the posteriors of the tracks' verdicts.

        A track that prefers neither video has nothing to be sure of; sets made on one track have such pairs.
        """
        return math.prod(
            votes.posterior[votes.verdict] for votes in self.tracks.values() if votes.verdict in FAVOURED
        )


def row_to_json(row: ExportRow) -> dict[str, Any]:
    """The row in the words of the file format."""
    references = [{**r.file.to_json(), "kind": str(r.kind)} for r in row.references]
    return {
        "pair_id": row.pair_id,
        "id_group": row.id_group,
        "references": references,
        "primary_reference": references[0]["path"],
        "differential_prompt": row.differential_prompt,
        "elements": [asdict(element) for element in row.elements],
        "win": {**row.chosen.file.to_json(), "seed": row.chosen.seed},
        "lose": {**row.rejected.file.to_json(), "seed": row.rejected.seed},
        "tracks": {str(track): _votes_to_json(votes) for track, votes in row.tracks.items()},
        "model_version": row.model_version,
        "licence": row.licence,
        "is_simulated": row.is_simulated,
    }


def row_from_json(item: Mapping[str, Any], folder: Path) -> ExportRow:
    """The inverse of `row_to_json`, with files that lie in the set's media folder.

    Args:
        item: one parsed line.
        folder: the set's folder.

    Raises:
        KeyError: a field is missing.
        ValueError: a field has a value that the format does not allow, such as a path out of `media/`.
    """
    return ExportRow(
        pair_id=int(item["pair_id"]),
        id_group=item["id_group"],
        references=tuple(
            ExportReference(MediaFile.from_json(r, folder), ReferenceKind(r["kind"]))
            for r in item["references"]
        ),
        differential_prompt=item["differential_prompt"],
        elements=tuple(ElementChange(**element) for element in item["elements"]),
        chosen=ExportSample(MediaFile.from_json(item["win"], folder), int(item["win"]["seed"])),
        rejected=ExportSample(MediaFile.from_json(item["lose"], folder), int(item["lose"]["seed"])),
        tracks={Track(name): _votes_from_json(votes) for name, votes in item["tracks"].items()},
        model_version=item["model_version"],
        licence=item["licence"],
        is_simulated=bool(item["is_simulated"]),
    )


def _votes_to_json(votes: TrackVotes) -> dict[str, Any]:
    return {
        "verdict": str(votes.verdict),
        "posterior": {str(v): round(votes.posterior.get(v, 0.0), 6) for v in EXPRESSED},
        "votes": {str(v): votes.votes.get(v, 0) for v in Verdict},
    }


def _votes_from_json(item: Mapping[str, Any]) -> TrackVotes:
    return TrackVotes(
        Verdict(item["verdict"]),
        {Verdict(name): float(share) for name, share in item["posterior"].items()},
        {Verdict(name): int(count) for name, count in item["votes"].items()},
    )
