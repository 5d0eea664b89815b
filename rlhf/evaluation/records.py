"""What an evaluation is made of: instances, metrics, and what a metric says of a video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol, Self

from pydantic import BeforeValidator, Field, PlainSerializer

from generator.frozen_table import Keys, StoredAs
from generator.records import ELEMENTS, ShownReferences
from generator.validation import Number, Stored, record

#: How the reason of a hole begins where the instance asks for nothing that the column measures: no failure.
NOT_ASKED = "not asked: "


class Task(StrEnum):
    """The paper's two tasks: identity alone, or identity and named elements."""

    IPT2V = "IPT2V"
    IEPT2V = "IEPT2V"


class MetricError(ValueError):
    """A metric cannot be used, or has nothing to say of a video; one line that names why and a remedy."""


@record
class NamedElement:
    """A thing that a video must show as a picture shows it."""

    name: str = Field(description="what to look for, such as 'red scarf'")
    path: str | None = Field(
        default=None, description="the picture; None where the primary reference shows it"
    )


class GroupFile(NamedTuple):
    """A file of an ID-group as JSON holds it."""

    path: str


#: In JSON an object, as references are.
GroupPath = Annotated[
    str,
    BeforeValidator(lambda item: item.get("path") if isinstance(item, dict) else item),
    PlainSerializer(lambda path: {"path": path}),
    StoredAs(GroupFile),
]


def _known(states: Any) -> Any:
    """A table has a place for every element, and null where nobody knows."""
    states = {} if states is None else states
    return {k: v for k, v in states.items() if v is not None} if isinstance(states, dict) else states


#: What is known of the elements, by element.
States = Annotated[Mapping[str, str], BeforeValidator(_known), Keys(ELEMENTS)]


@record
class EvaluationInstance(Stored):
    """One input, and what a perfect video of it shows.

    Raises:
        ValueError: a field is missing or of another kind.
    """

    instance_id: str = Field(description="names the files")
    prompt: str = Field(description="the differential prompt's text")
    references: ShownReferences = Field(description="the first is the primary")
    id_group: tuple[GroupPath, ...] = Field(
        description="every reference of the person; identity is judged against all of them"
    )
    expected: States = Field(
        default_factory=dict,
        description="the state of each of the seven elements; empty where nobody knows it",
    )
    changed: tuple[str, ...] = Field(default=(), description="the elements that the prompt names")
    identity: str = Field(
        default="", description="whose instance it is; instances of one person are not independent"
    )
    task: Task = Field(default=Task.IPT2V, description="of the paper's two")
    standard_prompt: str = Field(
        default="",
        description="the whole scene in words, for models that know no primary reference; empty if unwritten",
    )
    elements: tuple[NamedElement, ...] = Field(default=(), description="what Ele- metrics look for")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read one entry of a request or of a benchmark set; raises like the class."""
        try:
            return super().from_json({"identity": value.get("instance_id"), **value})
        except ValueError as error:
            raise ValueError(f"instance {value.get('instance_id', '?')}: {error}") from None


@record
class MetricFacts:
    """What a figure rests on; figures that rest on different things are never put into one table."""

    metric: str = Field(description="its name in rlhf.evaluation.metrics")
    columns: tuple[str, ...] = Field(
        description="of the table, with the paper's names where the paper has them"
    )
    model: str = Field(description="what looks at the videos")
    weights_sha256: str = Field(description="of its weights; '' where there are none")
    licence: str = Field(description="of its weights or, where there are none, of its code")
    frames: str = Field(description="which frames it looks at")
    missing: str = Field(description="what becomes of a frame without the thing that is looked for")
    settings: Mapping[str, Any] = Field(default_factory=dict, description="whatever else changes a figure")

    def to_json(self) -> dict[str, Any]:
        """All fields, and the fingerprint of them."""
        return {**asdict(self), "columns": list(self.columns), "sha256": self.sha256}

    @property
    def sha256(self) -> str:
        """Equal for equal facts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@record
class VideoScores:
    """What a metric says of one video."""

    values: Mapping[str, Number] = Field(
        description="by column, in [0, 1], higher is better; the table shows them times 100"
    )
    holes: Mapping[str, str] = Field(
        default_factory=dict,
        description="by column, why there is no value; every column of the metric is in one of the two. "
        "The reason begins with NOT_ASKED where the instance asks for nothing of the kind",
    )
    details: Mapping[str, Any] = Field(
        default_factory=dict,
        description="whatever else is worth keeping (JSON): curves, tables, transcripts. Metrics of "
        "identity have per_reference (path to similarity), per_frame (a similarity for each "
        "frame looked at, None without a face), frames (their numbers), ceiling (of real "
        "references among each other, None with one), and copy_paste (whether the video is "
        "above it)",
    )


class Metric(Protocol):
    """Something that looks at videos one by one."""

    @property
    def facts(self) -> MetricFacts:
        """What its figures rest on."""
        ...

    def score(self, video: Path, instance: EvaluationInstance, resolve: Callable[[str], Path]) -> VideoScores:
        """Look at one video.

        Args:
            video: the file.
            instance: what was asked for.
            resolve: finds the file of a path of the instance.

        Raises:
            MetricError: it can say nothing of this video.
            ValueError: the video or a reference is not readable; the message names the file.
        """
        ...
