"""`identity.json`: what the folder of a person may say about its media."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from generator.records import ELEMENTS, ReferenceKind

CARD_NAME = "identity.json"
SPLITS = ("train", "eval", "benchmark")
#: What a person may agree to: being shown to annotators, trained on, evaluated on, and handed out.
USES = ("show", "train", "evaluate", "publish")
_MAX_BYTES = 4 << 20
_MAX_NOTE = 200


@dataclass(frozen=True)
class FileNote:
    """What a card says about one file.

    Attributes:
        kind: modality, or None to tell it by the content.
        elements: how the file shows each of the seven elements, or None where nobody described them.
    """

    kind: ReferenceKind | None = None
    elements: Mapping[str, str] | None = None


@dataclass(frozen=True)
class IdentityCard:
    """What is known of a person beyond the media; every field may be left out.

    Attributes:
        source: where the media come from.
        licence: such as an SPDX name.
        consent: of `USES` those that the person agreed to; empty refuses all, None says nothing.
        consent_expires_on: the last day of the consent.
        consent_note: anything about the consent, for people to read; `consent_scope` in cards of 0.1.0.
        split: `train`, `eval` or `benchmark`.
        truth: what a synthetic world knows exactly; None for real people.
        files: notes by file name.
    """

    source: str = ""
    licence: str = ""
    consent: tuple[str, ...] | None = None
    consent_expires_on: date | None = None
    consent_note: str = ""
    split: str | None = None
    truth: Mapping[str, Any] | None = None
    files: Mapping[str, FileNote] = field(default_factory=dict)


def read_card(path: Path) -> IdentityCard:
    """Read and check a card.

    Args:
        path: the card; a missing one is an empty card.

    Raises:
        ValueError: one line that names what is wrong in it.
        OSError: it cannot be read.
    """
    if not path.exists():
        return IdentityCard()
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"has {path.stat().st_size} bytes; {_MAX_BYTES} are allowed")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    return _parse_card(_mapping("the card", content))


def read_uses(text: str) -> tuple[str, ...]:
    """The uses of a text such as `show,train`; `none` refuses all.

    Raises:
        ValueError: something in it is no use.
    """
    return () if text.strip() == "none" else checked_uses([name.strip() for name in text.split(",")])


def checked_uses(names: Any) -> tuple[str, ...]:
    """A list of uses, each once and in the order of `USES`.

    Raises:
        ValueError: no list, or something in it is no use.
    """
    if not isinstance(names, list):
        raise ValueError(f"has consent {names!r}; it must be a list of uses, such as {list(USES[:2])}")
    if unknown := [name for name in names if name not in USES]:
        raise ValueError(f"has consent to {unknown[0]!r}; the uses are {', '.join(USES)}")
    return tuple(use for use in USES if use in names)


def _parse_card(card: Mapping[str, Any]) -> IdentityCard:
    known = IdentityCard.__dataclass_fields__
    for name in card:
        if name not in known and name != "consent_scope":
            raise ValueError(f"has an unknown field {name!r}; known are {', '.join(known)}")
    split = card.get("split")
    if split is not None and split not in SPLITS:
        raise ValueError(f"has split {split!r}; it must be one of {', '.join(SPLITS)}")
    truth = card.get("truth")
    files = _mapping("files", card.get("files", {}))
    return IdentityCard(
        source=_text("source", card),
        licence=_text("licence", card),
        consent=None if card.get("consent") is None else checked_uses(card["consent"]),
        consent_expires_on=_day("consent_expires_on", card),
        consent_note=_note(card),
        split=split,
        truth=None if truth is None else _mapping("truth", truth),
        files={name: _parse_note(name, note) for name, note in files.items()},
    )


def _note(card: Mapping[str, Any]) -> str:
    note = _text("consent_note", card) or _text("consent_scope", card)
    if len(note) > _MAX_NOTE:
        raise ValueError(f"has a consent_note of {len(note)} characters; {_MAX_NOTE} are allowed")
    return note


def _parse_note(name: str, value: Any) -> FileNote:
    note = _mapping(f"files[{name!r}]", value)
    kind = note.get("kind")
    if kind is not None and kind not in tuple(ReferenceKind):
        raise ValueError(f"gives {name!r} the kind {kind!r}; it must be one of {', '.join(ReferenceKind)}")
    elements = note.get("elements")
    if elements is not None:
        elements = _mapping(f"elements of {name!r}", elements)
        if set(elements) != set(ELEMENTS):
            raise ValueError(f"must give {name!r} all seven elements and no other: {', '.join(ELEMENTS)}")
        elements = {element: _text(element, elements) for element in ELEMENTS}
        if empty := [element for element, text in elements.items() if not text]:
            raise ValueError(f"leaves {empty[0]} of {name!r} empty")
    return FileNote(None if kind is None else ReferenceKind(kind), elements)


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"has {what} as {type(value).__name__}; it must be a JSON object")
    return value


def _text(name: str, holder: Mapping[str, Any]) -> str:
    value = holder.get(name, "")
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"has {name} {value!r}; it must be a text")
    return value.strip()


def _day(name: str, holder: Mapping[str, Any]) -> date | None:
    value = holder.get(name)
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"has {name} {value!r}; it must be a day such as 2030-12-31") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
