"""The rows of a dataset, in code and in the words of its tables.

Rows name each other by content, never by the numbers of a database: a reference by the sha256 of its file,
an instance by the digest of its plan. A person has source and pseudonym, which the exporting site resolves.
The order of fields is that of the columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, PlainSerializer, model_validator

from generator.curation.augmentation import Recipe
from generator.curation.card import SPLITS, Uses
from generator.frozen_set import MediaFile, StoredFile
from generator.frozen_table import Keys, Row, StoredAs
from generator.records import ELEMENTS, MAX_REFERENCES, ElementChange, ReferenceKind
from generator.validation import Amount, Count, Digest, Number, one_of, read, record, to_json

#: Characters of a name, as the web stores it.
MAX_NAME = 200


def _pack(value: Any) -> str | None:
    """Free-form facts as JSON text: one column, whatever they hold."""
    value = to_json(value) if isinstance(value, Recipe) else value
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _unpack(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _read_recipe(value: Any) -> Any:
    return read(Recipe, json.loads(value)) if isinstance(value, str) else value


def _seven(elements: Mapping[str, str]) -> Mapping[str, str]:
    if missing := [name for name in ELEMENTS if name not in elements]:
        raise ValueError(f"has no {missing[0]}")
    return {name: elements[name] for name in ELEMENTS}


Text = Annotated[str, Field(max_length=MAX_NAME, pattern=r"^[^\x00]*$")]
Name = Annotated[Text, Field(min_length=1)]
Split = Annotated[str, one_of(SPLITS)]
Facts = Annotated[dict[str, Any], BeforeValidator(_unpack), PlainSerializer(_pack), StoredAs(str)]
Elements = Annotated[Mapping[str, str], AfterValidator(_seven), Keys(ELEMENTS)]


@record
class PersonRow(Row):
    """One person."""

    source: Name = Field(description="where the media come from; source and person together name somebody")
    person: Name = Field(description="pseudonym")
    split: Split = Field(description="train, eval or benchmark")
    licence: Text = Field(default="", description="of all their media")
    consent: Uses | None = Field(
        default=None, description="the uses that they agreed to; None in sets of format 1, which did not say"
    )
    consent_expires_on: date | None = Field(default=None, description="last day of the consent, if it ends")
    consent_note: Text = Field(
        default="",
        validation_alias=AliasChoices("consent_note", "consent_scope"),
        exclude=True,
        description="only read, from sets of format 1: notes stay with who wrote them",
    )
    truth: Facts | None = Field(default=None, description="what a synthetic world knows exactly")


@record
class ReferenceRow(Row):
    """One photo, half-body portrait or clip that may be used."""

    source: Name
    person: Name
    file: StoredFile = Field(description="normalised; its sha256 names the reference among the person's")
    kind: ReferenceKind = Field(description="its modality")
    source_name: Text = Field(description="of the file that it was made from, without what people called it")
    source_sha256: Digest = Field(description="of that file")
    shot: Amount = Field(description="which shot of that file it is, 0 first")
    is_primary: bool = Field(description="whether somebody chose it as the person's primary reference")
    width: Count = Field(description="pixels")
    height: Count = Field(description="pixels")
    num_frames: Count = Field(description="decoded; 1 for stills")
    fps: Number = Field(ge=0, description="frames per second; 0 for stills")
    elements: Elements | None = Field(description="of all seven, or None where nobody described them")
    facts: Facts = Field(description="what decoding showed of the file that it was made from")
    boxes: Facts = Field(description="as curation stored them")
    quality: Facts = Field(description="as curation stored it")
    annotation: StoredFile | None = Field(description="frame by frame, see docs/annotation_record.md")

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """All that the row names."""
        return (self.file, self.annotation) if self.annotation else (self.file,)


@record
class PlaceRow(Row):
    """What an instance shows of one reference."""

    file: StoredFile = Field(description="what the model reads: the reference's own file, or the crop's")
    kind: ReferenceKind = Field(description="of that file")
    reference: Digest = Field(description="of the person's reference")
    recipe: Annotated[Recipe | None, BeforeValidator(_read_recipe), PlainSerializer(_pack), StoredAs(str)] = (
        Field(default=None, description="how the crop was cut; None where the whole reference is shown")
    )

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        if (self.recipe is None) != (self.reference == self.file.sha256):
            raise ValueError(f"reference {self.reference[:12]} is shown by another file without a recipe")
        return self


@record
class PromptRow:
    """One version of a differential prompt."""

    text: str = Field(description="what the model reads")
    method: Text = Field(description="how it was made")
    elements: tuple[ElementChange, ...] = Field(description="all seven")


@record
class InstanceRow(Row):
    """One generation input."""

    source: Name
    person: Name
    split: Split = Field(description="of the person")
    instance_id: Digest = Field(description="digest of the plan")
    references: tuple[PlaceRow, ...] = Field(description="the first is the primary")
    target: StoredFile | None = Field(description="the clip to learn, none of the references; or None")
    prompts: tuple[PromptRow, ...] = Field(description="every version, the one in force last")

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        names = [shown.reference for shown in self.references] + ([self.target.sha256] if self.target else [])
        if len(set(names)) != len(names):
            raise ValueError(f"instance {self.instance_id[:12]} shows a reference twice, or its own target")
        if not 1 <= len(self.references) <= MAX_REFERENCES or not self.prompts:
            raise ValueError(f"instance {self.instance_id[:12]} needs 1 to 5 references and a prompt")
        return self

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """The crops: all that the row names and no reference does."""
        return tuple(shown.file for shown in self.references if shown.recipe is not None)

    def to_json(self) -> dict[str, Any]:
        """In the words of the table, which has the prompt in force in a column of its own."""
        return {**super().to_json(), "prompt": self.prompts[-1].text}

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> Self:
        """The inverse of `to_json`."""
        return super().from_json({name: v for name, v in item.items() if name != "prompt"}, folder)

    def to_training_json(self) -> dict[str, Any]:
        """As `rlhf.sft` reads it; only for instances with a target."""
        assert self.target is not None
        return {
            "instance_id": self.instance_id,
            "id_group": f"{self.source}/{self.person}",
            "prompt": self.prompts[-1].text,
            "references": [{"path": shown.file.name, "kind": str(shown.kind)} for shown in self.references],
            "target": {"path": self.target.name},
        }
