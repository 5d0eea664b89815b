"""The rows of a dataset, in code and in the words of its tables.

Rows name each other by content, never by the numbers of a database: a reference by the sha256 of its file,
an instance by the digest of its plan. A person has source and pseudonym, which the exporting site resolves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from generator.curation.augmentation import Recipe
from generator.curation.card import SPLITS, checked_uses
from generator.frozen_set import MediaFile
from generator.records import ELEMENTS, MAX_REFERENCES, ElementChange, ReferenceKind

#: Characters of a name, as the web stores it.
MAX_NAME = 200
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PersonRow:
    """One person.

    Attributes:
        source: where the media come from; source and person together name somebody.
        person: pseudonym.
        split: `train`, `eval` or `benchmark`.
        licence: of all their media.
        consent: the uses that they agreed to; None in sets of format 1, which did not say.
        consent_expires_on: the last day of the consent, or None where it does not end.
        consent_note: only read, from sets of format 1: notes stay with who wrote them.
        truth: what a synthetic world knows exactly; None for real people.
    """

    source: str
    person: str
    split: str
    licence: str = ""
    consent: tuple[str, ...] | None = None
    consent_expires_on: date | None = None
    consent_note: str = ""
    truth: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """In the words of `people.parquet`."""
        return {
            **{name: getattr(self, name) for name in ("source", "person", "split", "licence")},
            "consent": None if self.consent is None else list(self.consent),
            "consent_expires_on": self.consent_expires_on and self.consent_expires_on.isoformat(),
            "truth": None if self.truth is None else _packed(self.truth),
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> PersonRow:
        """The inverse of `to_json`.

        Raises:
            KeyError: a column is missing.
            ValueError: a value that the format does not allow.
        """
        day = item["consent_expires_on"]
        return cls(
            source=_name(item["source"]),
            person=_name(item["person"]),
            split=_split(item["split"]),
            licence=_text(item["licence"]),
            consent=None if item.get("consent") is None else checked_uses(item["consent"]),
            consent_expires_on=None if day is None else date.fromisoformat(day),
            consent_note=_text(item.get("consent_scope", "")),
            truth=None if item["truth"] is None else _unpacked(item["truth"]),
        )


@dataclass(frozen=True)
class ReferenceRow:
    """One photo, half-body portrait or clip that may be used.

    Attributes:
        source: of the person.
        person: pseudonym.
        file: the normalised media file; its sha256 names the reference among those of the person.
        kind: modality.
        source_name: of the file that it was made from, without what people called it.
        source_sha256: of that file.
        shot: which shot of that file it is, 0 first.
        is_primary: whether somebody chose it as the person's primary reference.
        width: pixels.
        height: pixels.
        num_frames: decoded; 1 for stills.
        fps: frames per second; 0 for stills.
        elements: description of each of the seven elements, or None where nobody described them.
        facts: what decoding showed of the file that it was made from.
        boxes: as curation stored them.
        quality: likewise.
        annotation: frame by frame (docs/annotation_record.md), or None where there is none.
    """

    source: str
    person: str
    file: MediaFile
    kind: ReferenceKind
    source_name: str
    source_sha256: str
    shot: int
    is_primary: bool
    width: int
    height: int
    num_frames: int
    fps: float
    elements: Mapping[str, str] | None
    facts: Mapping[str, Any]
    boxes: Mapping[str, Any]
    quality: Mapping[str, Any]
    annotation: MediaFile | None

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """All that the row names."""
        return (self.file, self.annotation) if self.annotation else (self.file,)

    def to_json(self) -> dict[str, Any]:
        """In the words of `references.parquet`."""
        names = ("source", "person", "source_name", "source_sha256", "shot", "is_primary")
        sizes = ("width", "height", "num_frames", "fps")
        return {
            **{name: getattr(self, name) for name in (*names, *sizes)},
            **self.file.to_json(),
            "kind": str(self.kind),
            "elements": None if self.elements is None else {name: self.elements[name] for name in ELEMENTS},
            **{name: _packed(getattr(self, name)) for name in ("facts", "boxes", "quality")},
            "annotation": self.annotation and self.annotation.to_json(),
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> ReferenceRow:
        """The inverse of `to_json`, with files that lie in the dataset in `folder`.

        Raises:
            KeyError: a column is missing.
            ValueError: a value that the format does not allow, such as a path out of the media folder.
        """
        elements, annotation = item["elements"], item["annotation"]
        return cls(
            source=_name(item["source"]),
            person=_name(item["person"]),
            file=MediaFile.from_json(item, folder),
            kind=ReferenceKind(item["kind"]),
            source_name=_text(item["source_name"]),
            source_sha256=_digest(item["source_sha256"]),
            shot=int(item["shot"]),
            is_primary=bool(item["is_primary"]),
            width=int(item["width"]),
            height=int(item["height"]),
            num_frames=int(item["num_frames"]),
            fps=float(item["fps"]),
            elements=None if elements is None else {name: elements[name] for name in ELEMENTS},
            facts=_unpacked(item["facts"]),
            boxes=_unpacked(item["boxes"]),
            quality=_unpacked(item["quality"]),
            annotation=annotation and MediaFile.from_json(annotation, folder),
        )


@dataclass(frozen=True)
class PlaceRow:
    """What an instance shows of one reference.

    Attributes:
        reference: sha256 of the person's reference.
        file: the file that the model reads: the reference's own, or the crop's.
        kind: modality of that file.
        recipe: how the crop was cut; None where the whole reference is shown.
    """

    reference: str
    file: MediaFile
    kind: ReferenceKind
    recipe: Recipe | None = None

    def to_json(self) -> dict[str, Any]:
        """As an entry of the column `references`."""
        recipe = None if self.recipe is None else _packed(self.recipe.to_json())
        return {
            "reference": self.reference,
            **self.file.to_json(),
            "kind": str(self.kind),
            "recipe": recipe,
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> PlaceRow:
        """The inverse of `to_json`."""
        place = cls(
            reference=_digest(item["reference"]),
            file=MediaFile.from_json(item, folder),
            kind=ReferenceKind(item["kind"]),
            recipe=None if item["recipe"] is None else Recipe.from_json(_unpacked(item["recipe"])),
        )
        if (place.recipe is None) != (place.reference == place.file.sha256):
            raise ValueError(f"reference {place.reference[:12]} is shown by another file without a recipe")
        return place


@dataclass(frozen=True)
class PromptRow:
    """One version of a differential prompt.

    Attributes:
        text: what the model reads.
        elements: all seven.
        method: how it was made.
    """

    text: str
    elements: tuple[ElementChange, ...]
    method: str

    def to_json(self) -> dict[str, Any]:
        """As an entry of the column `prompts`."""
        return asdict(self) | {"elements": [asdict(element) for element in self.elements]}

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> PromptRow:
        """The inverse of `to_json`."""
        elements = tuple(ElementChange(**element) for element in item["elements"])
        return cls(str(item["text"]), elements, _text(item["method"]))


@dataclass(frozen=True)
class InstanceRow:
    """One generation input.

    Attributes:
        source: of the person.
        person: pseudonym.
        split: of the person.
        instance_id: digest of the plan.
        references: 1 to 5, the first is the primary.
        target: the clip to learn, a reference of the person that is not among `references`; or None.
        prompts: every version of the differential prompt, the one in force last.
    """

    source: str
    person: str
    split: str
    instance_id: str
    references: tuple[PlaceRow, ...]
    target: MediaFile | None
    prompts: tuple[PromptRow, ...]

    @property
    def files(self) -> tuple[MediaFile, ...]:
        """The crops: all that the row names and no reference does."""
        return tuple(place.file for place in self.references if place.recipe is not None)

    def to_json(self) -> dict[str, Any]:
        """In the words of `instances.parquet`."""
        return {
            **{name: getattr(self, name) for name in ("source", "person", "split", "instance_id")},
            "prompt": self.prompts[-1].text,
            "references": [place.to_json() for place in self.references],
            "target": self.target and self.target.to_json(),
            "prompts": [prompt.to_json() for prompt in self.prompts],
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> InstanceRow:
        """The inverse of `to_json`, with files that lie in the dataset in `folder`.

        Raises:
            KeyError: a column is missing.
            ValueError: a value that the format does not allow, such as a target that is also a reference.
        """
        row = cls(
            source=_name(item["source"]),
            person=_name(item["person"]),
            split=_split(item["split"]),
            instance_id=_digest(item["instance_id"]),
            references=tuple(PlaceRow.from_json(place, folder) for place in item["references"]),
            target=item["target"] and MediaFile.from_json(item["target"], folder),
            prompts=tuple(PromptRow.from_json(prompt) for prompt in item["prompts"]),
        )
        names = [place.reference for place in row.references] + ([row.target.sha256] if row.target else [])
        if len(set(names)) != len(names):
            raise ValueError(f"instance {row.instance_id[:12]} shows a reference twice, or its own target")
        if not 1 <= len(row.references) <= MAX_REFERENCES or not row.prompts:
            raise ValueError(f"instance {row.instance_id[:12]} needs 1 to 5 references and a prompt")
        return row

    def to_training_json(self) -> dict[str, Any]:
        """As `rlhf.sft` reads it; only for instances with a target."""
        assert self.target is not None
        return {
            "instance_id": self.instance_id,
            "id_group": f"{self.source}/{self.person}",
            "prompt": self.prompts[-1].text,
            "references": [{"path": place.file.name, "kind": str(place.kind)} for place in self.references],
            "target": {"path": self.target.name},
        }


def _packed(value: Mapping[str, Any]) -> str:
    """Free-form facts as JSON text: one column, whatever they hold."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _unpacked(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{text[:40]!r} is no JSON object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_NAME:
        raise ValueError(f"{value!r} is no text of at most {MAX_NAME} characters")
    return value


def _name(value: Any) -> str:
    if not _text(value):
        raise ValueError("a source or person has an empty name")
    return str(value)


def _split(value: Any) -> str:
    if value not in SPLITS:
        raise ValueError(f"split {value!r} is none of {', '.join(SPLITS)}")
    return str(value)


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"{value!r} is no sha256")
    return value
