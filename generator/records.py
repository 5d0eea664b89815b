"""Plain records of the generator: people's media, prompts, and what to sample.

Everything here loads with neither torch nor Django, so the web may read it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, PlainSerializer, model_validator

from generator.validation import Count, Number, Stored, record

#: The seven elements of a portrait video, in the paper's order.
ELEMENTS = ("camera_shot", "hairstyle", "clothing", "accessories", "expression", "action", "background")

#: References of one instance, primary included: the paper trains and samples with 1 to 5.
MAX_REFERENCES = 5


class Encoding(StrEnum):
    """What the file of a display copy keeps of its frames."""

    #: All that can be seen.
    FULL = "full"
    #: Nearly all, in fewer bytes, for slow connections.
    LEAN = "lean"


class ReferenceKind(StrEnum):
    """The modalities of a reference; everything else about one is in `REFERENCE_KINDS`."""

    PHOTO = "photo"
    HALF_BODY = "half_body"
    CLIP = "clip"

    @property
    def label(self) -> str:
        """On pages and in sentences."""
        return REFERENCE_KINDS[self].label

    @property
    def is_clip(self) -> bool:
        """Whether it is a file of many frames."""
        return REFERENCE_KINDS[self].is_clip

    @property
    def shows_body(self) -> bool:
        """Whether it shows more of what must be kept than a face."""
        return REFERENCE_KINDS[self].shows_body


@dataclass(frozen=True)
class KindData:
    """What the program knows of a modality; see the properties of `ReferenceKind`."""

    label: str
    is_clip: bool = False
    shows_body: bool = True


REFERENCE_KINDS: Mapping[ReferenceKind, KindData] = {
    ReferenceKind.PHOTO: KindData("photo", shows_body=False),
    ReferenceKind.HALF_BODY: KindData("half-body portrait"),
    ReferenceKind.CLIP: KindData("clip", is_clip=True),
}


@record
class Reference:
    """One photo, half-body portrait or clip of a person."""

    reference_id: str = Field(description="name within its identity group")
    kind: ReferenceKind = Field(description="modality")
    path: str = Field(default="", description="the media file")
    num_frames: int = Field(default=1, description="decoded frames; 1 for stills")
    elements: Mapping[str, str] | None = Field(
        default=None,
        description="description of each of the seven elements, or None where nobody described them",
    )


@record
class IdentityGroup:
    """One person with all their references."""

    name: str = Field(description="of the person")
    references: tuple[Reference, ...] = Field(description="in a stable order")
    primary: str | None = Field(
        default=None,
        description="the reference that somebody chose as the primary of every instance; None draws one",
    )


@record
class ElementChange:
    """One element of a differential prompt."""

    element: str = Field(description="one of ELEMENTS")
    primary: str | None = Field(description="how the primary reference shows it, or None where unknown")
    target: str | None = Field(description="how the target shall show it; equal to primary when unchanged")
    changed: bool = Field(description="whether the prompt asks for a change")
    similarity: Number | None = Field(
        default=None, description="of the two descriptions, in [0, 1], where one was measured"
    )
    statement: str = Field(
        default="", description="one sentence that asks for the change; empty when unchanged"
    )


@record
class DifferentialPrompt:
    """Only what changes from the primary reference; everything unmentioned stays."""

    text: str = Field(description="the prompt that the model reads: the statements of the changed elements")
    elements: tuple[ElementChange, ...] = Field(description="all seven, in the order of ELEMENTS")

    @property
    def changed(self) -> tuple[ElementChange, ...]:
        """The elements that the prompt asks to change."""
        return tuple(change for change in self.elements if change.changed)


@record
class InstancePlan:
    """One generation input, by the names of its references."""

    primary: str = Field(description="the anchor for every attribute that the prompt does not mention")
    assistants: tuple[str, ...] = Field(description="further references in order, 0 to 4")
    prompt: DifferentialPrompt = Field(description="the differential prompt")
    target: str | None = Field(
        default=None, description="a clip that shows the result, for training; never one of the references"
    )


@record
class SamplerSettings:
    """How videos are sampled; part of a sample's identity.

    Raises:
        ValueError: a value out of its range.
    """

    height: Count = Field(default=64, description="pixels")
    width: Count = Field(default=64, description="pixels")
    num_frames: Count = Field(default=9, description="frames of the video, 4k + 1")
    fps: Count = Field(default=8, description="frame rate of the written file")
    num_inference_steps: Count = Field(default=20, description="denoising steps")
    guidance_scale: Number = Field(
        default=5.0, ge=1, description="g of the unified empty condition; 1 switches guidance off"
    )

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.num_frames % 4 != 1:
            nearest = self.num_frames // 4 * 4 + 1
            raise ValueError(f"num_frames is {self.num_frames}; it must be 4k + 1, such as {nearest}")
        return self

    @property
    def pipeline_arguments(self) -> dict[str, Any]:
        """As pipelines of Diffusers take them."""
        return {name: value for name, value in asdict(self).items() if name != "fps"}

    @property
    def digest(self) -> str:
        """Equal settings, equal digest (sha256, hex)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class ShownReference(NamedTuple):
    """A file that a model is shown."""

    path: str
    kind: ReferenceKind


#: References in a record that requests hold: the first is the primary.
ShownReferences = tuple[Annotated[ShownReference, PlainSerializer(ShownReference._asdict)], ...]


@record
class SampleRequest(Stored):
    """One video to make.

    Raises:
        ValueError: a field is missing or of another kind; the message names it.
    """

    sample_id: str = Field(description="names the file samples/<sample_id>.mp4")
    seed: int = Field(description="of the sample's own noise")
    prompt: str = Field(description="the differential prompt's text")
    references: ShownReferences = Field(min_length=1, description="the first is the primary")
    encoding: Encoding = Field(default=Encoding.FULL, description="of its display copy")
