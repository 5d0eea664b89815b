"""What a model must answer, as JSON schemas, and the check of what it did answer.

The schema travels with every question, but a server's promise to keep to it is not trusted: each reply is
checked again here, and one that leaves an element out or makes one up is an error with a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from jsonschema import Draft202012Validator, ValidationError

from generator.records import ELEMENTS

#: What a describer writes for an element that cannot be seen.
UNSEEN = "not visible"

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)
#: JSON can escape a lone surrogate, which no file can hold.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_LONGEST_COMPLAINT = 160


class Fault(StrEnum):
    """What can be wrong with a reply."""

    NOT_JSON = "not_json"
    OMITTED = "omitted"
    INVENTED = "invented"
    WRONG_VALUE = "wrong_value"


class ReplyError(ValueError):
    """A reply that must not be passed on; the message tells the model what to do better.

    Attributes:
        faults: each kind of fault once, in the order of finding.
    """

    def __init__(self, faults: Iterable[Fault], message: str) -> None:
        super().__init__(message)
        self.faults = tuple(dict.fromkeys(faults))


@dataclass(frozen=True)
class Form:
    """The shape of one kind of reply."""

    name: str
    schema: Mapping[str, Any]  # JSON schema; only keywords that every server with structured output knows


def form_of(name: str, elements: Iterable[str], value: Mapping[str, Any]) -> Form:
    """A JSON object with exactly the given elements as keys, each holding such a value."""
    names = list(elements)
    properties = {element: dict(value) for element in names}
    return Form(
        name,
        {"type": "object", "properties": properties, "required": names, "additionalProperties": False},
    )


#: A describer's reply: every element in words.
DESCRIPTION = form_of("description", ELEMENTS, {"type": "string"})

#: A one-step observer's reply: null where nothing changes.
CHANGES = form_of(
    "changes",
    ELEMENTS,
    {
        "type": ["object", "null"],
        "properties": {"target": {"type": "string"}, "statement": {"type": "string"}},
        "required": ["target", "statement"],
        "additionalProperties": False,
    },
)


def comparison(elements: Iterable[str]) -> Form:
    """A comparer's reply: how alike two descriptions of each element are, in [0, 1]."""
    return form_of("comparison", elements, {"type": "number", "minimum": 0, "maximum": 1})


def read_reply(text: str, form: Form) -> dict[str, Any]:
    """The checked content of a reply.

    Args:
        text: JSON, alone or in one fenced block.
        form: what it must be; every text in it must hold a word.

    Raises:
        ReplyError: it is anything else.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        value = json.loads(
            fenced[1] if fenced else text, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReplyError([Fault.NOT_JSON], f"the reply is not JSON: {error}") from None
    check(value, form.schema)
    texts = list(_texts(value))
    if empty := [path for path, words in texts if not re.search(r"\w", words)]:
        raise ReplyError([Fault.OMITTED], f"{', '.join(empty)} is empty")
    if torn := [path for path, words in texts if _HALF_CHARACTER.search(words)]:
        raise ReplyError([Fault.WRONG_VALUE], f"{', '.join(torn)} holds half of a character")
    return dict(value)


def check(value: Any, schema: Mapping[str, Any]) -> None:
    """Hold a value against a JSON schema.

    Raises:
        ReplyError: it does not fit; the message names every place.
    """
    errors = list(Draft202012Validator(schema).iter_errors(value))
    if errors:
        raise ReplyError(map(_fault, errors), "; ".join(map(_complaint, errors)))


def _fault(error: ValidationError) -> Fault:
    return {"required": Fault.OMITTED, "additionalProperties": Fault.INVENTED}.get(
        str(error.validator), Fault.WRONG_VALUE
    )


def _complaint(error: ValidationError) -> str:
    """One short line, whatever a model wrote."""
    path = ".".join(str(part) for part in error.absolute_path)
    text = " ".join(error.message.split())
    if len(text) > _LONGEST_COMPLAINT:
        text = f"{text[:_LONGEST_COMPLAINT]}..."
    return f"{path}: {text}" if path else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as parsed; a key that comes twice would hide what it said first."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ReplyError([Fault.INVENTED], "a key is in the reply twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    """NaN would pass every minimum and maximum of a schema."""
    raise ReplyError([Fault.WRONG_VALUE], f"{name} is no number")


def _texts(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part, f"{path}.{key}" if path else key)
