"""One exported pair as a record, and as one line of `pairs.jsonl`.

`win` and `lose` are words of the file format only; code says chosen and rejected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, PlainSerializer, model_validator

from generator.frozen_set import MediaFile, StoredFile
from generator.frozen_table import Keys, Row
from generator.records import ElementChange, ReferenceKind
from generator.validation import Number, record
from rlhf.records import EXPRESSED, FAVOURED, Consensus, Track, Verdict

Posterior = Annotated[
    Mapping[Verdict, Number],
    PlainSerializer(lambda shares: {str(verdict): round(shares[verdict], 6) for verdict in EXPRESSED}),
    Keys(EXPRESSED),
]
Counts = Annotated[
    Mapping[Verdict, int],
    PlainSerializer(lambda votes: {str(verdict): votes[verdict] for verdict in Verdict}),
    Keys(tuple(Verdict)),
]


@record
class ExportReference:
    """One reference of a pair, in the order in which the model read it."""

    file: StoredFile
    kind: ReferenceKind


@record
class ExportSample:
    """One generated video and the seed of its noise."""

    file: StoredFile
    seed: int


@record
class TrackVotes:
    """What one track said: its verdict, posterior and votes by verdict; none where it is missing."""

    verdict: Verdict
    posterior: Posterior
    votes: Counts

    @classmethod
    def from_consensus(cls, consensus: Consensus) -> TrackVotes:
        """Take over a decided consensus."""
        if consensus.verdict is None:
            raise ValueError("a track without a verdict cannot be exported; wait for its votes")
        return cls(consensus.verdict, dict(consensus.posterior), dict(consensus.counts))


@record
class ExportRow(Row):
    """One Pareto-dominant pair.

    Raises:
        ValueError: no trainer could use it.
    """

    pair_id: int = Field(description="ascending within a set")
    id_group: str = Field(description="name of the identity group; held-out sets are split by it")
    references: tuple[ExportReference, ...] = Field(description="1 to 5, the first is the primary reference")
    differential_prompt: str = Field(description="the text that the model read")
    elements: tuple[ElementChange, ...] = Field(description="all seven, or none where nobody described them")
    chosen: ExportSample = Field(
        validation_alias=AliasChoices("chosen", "win"),
        serialization_alias="win",
        description="the sample that is strictly better on both tracks",
    )
    rejected: ExportSample = Field(
        validation_alias=AliasChoices("rejected", "lose"),
        serialization_alias="lose",
        description="the other one",
    )
    tracks: Annotated[Mapping[Track, TrackVotes], Keys(tuple(Track))] = Field(description="both tracks")
    model_version: str = Field(description="name of the policy that sampled the pair")
    licence: str = Field(description="of the identity's media")
    is_simulated: bool = Field(default=False, description="whether any vote behind the pair was simulated")

    @model_validator(mode="after")
    def _check_use(self) -> Self:
        if not self.references:
            raise ValueError(f"pair {self.pair_id} has no reference; give at least the primary one")
        if set(self.tracks) != set(Track):
            raise ValueError(f"pair {self.pair_id} has tracks {sorted(self.tracks)}; both are needed")
        return self

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

    def to_json(self) -> dict[str, Any]:
        """The row in the words of the file format."""
        row = super().to_json()
        return {**row, "primary_reference": row["references"][0]["path"]}

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> Self:
        """The inverse of `to_json`."""
        own = {name: value for name, value in item.items() if name != "primary_reference"}
        return super().from_json(own, folder)
