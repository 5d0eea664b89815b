"""`identity.json`: what the folder of a person may say about its media."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from generator.records import ELEMENTS, ReferenceKind
from generator.validation import one_of, read, record

CARD_NAME = "identity.json"
SPLITS = ("train", "eval", "benchmark")
#: What a person may agree to: being shown to annotators, trained on, evaluated on, and handed out.
USES = ("show", "train", "evaluate", "publish")
_MAX_BYTES = 4 << 20


def checked_uses(names: Sequence[str]) -> tuple[str, ...]:
    """Uses, each once and in the order of `USES`.

    Raises:
        ValueError: something in it is no use.
    """
    if unknown := [name for name in names if name not in USES]:
        raise ValueError(f"has consent to {unknown[0]!r}; the uses are {', '.join(USES)}")
    return tuple(use for use in USES if use in names)


def _all_seven(elements: dict[str, str]) -> dict[str, str]:
    if set(elements) != set(ELEMENTS):
        raise ValueError(f"must have all seven elements and no other: {', '.join(ELEMENTS)}")
    return {element: elements[element] for element in ELEMENTS}


Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$")]
Uses = Annotated[tuple[str, ...], AfterValidator(checked_uses)]


@record
class FileNote:
    """What a card says about one file."""

    kind: ReferenceKind | None = Field(default=None, description="None to tell it by the content")
    elements: (
        Annotated[dict[str, Annotated[Text, Field(min_length=1)]], AfterValidator(_all_seven)] | None
    ) = Field(default=None, description="how the file shows each of the seven elements, where described")


@record
class IdentityCard:
    """What is known of a person beyond the media; every field may be left out."""

    source: Text = Field(default="", description="where the media come from")
    licence: Text = Field(default="", description="such as an SPDX name")
    consent: Uses | None = Field(
        default=None, description="the uses that the person agreed to; empty refuses all, None says nothing"
    )
    consent_expires_on: date | None = Field(default=None, description="the last day of the consent")
    consent_note: Text = Field(
        default="", max_length=200, description="for people to read; consent_scope in cards of 0.1.0"
    )
    split: Annotated[str, one_of(SPLITS)] | None = None
    truth: dict[str, Any] | None = Field(default=None, description="what a synthetic world knows exactly")
    files: dict[str, FileNote] = Field(default_factory=dict, description="notes by file name")


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
    if isinstance(content, dict) and (scope := content.pop("consent_scope", None)):
        content["consent_note"] = content.get("consent_note") or scope
    try:
        return read(IdentityCard, content)
    except ValueError as error:
        raise ValueError(f"is no card of a person: {error}") from None


def read_uses(text: str) -> tuple[str, ...]:
    """The uses of a text such as `show,train`; `none` refuses all.

    Raises:
        ValueError: something in it is no use.
    """
    return () if text.strip() == "none" else checked_uses([name.strip() for name in text.split(",")])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
