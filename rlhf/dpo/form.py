"""The settings of a run as a form: names, meanings and kinds, read from the fields of the configuration.

What a field means, its unit and its range stand once, in its class. So a form never says anything else than
the command does.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import Field

from generator.validation import fields_of, range_of, record
from rlhf.training.config import RunConfig

Config = TypeVar("Config", bound=RunConfig)


@record
class Setting:
    """One field of a configuration."""

    name: str = Field(description="of the field")
    meaning: str = Field(description="what it does, and its range")
    kind: str = Field(description="'switch', 'whole', 'number', 'word', 'words' or 'numbers'")
    default: str = Field(description="as the form writes it")
    choices: tuple[str, ...] = Field(description="the words that may be chosen; empty for any")
    optional: bool = Field(description="whether nothing at all is an answer, too")


def settings_of(kind: type[RunConfig]) -> list[Setting]:
    """Every field of a configuration, those of the class itself before those that it inherits."""
    hints, own = get_type_hints(kind), set(vars(kind).get("__annotations__", ()))
    ordered = sorted(fields_of(kind).items(), key=lambda item: item[0] not in own)
    return [
        Setting(
            name=name,
            meaning="; ".join(filter(None, (field.description, range_of(field)))),
            kind=_kind(hints[name]),
            default=written(field.default),
            choices=get_args(hints[name]) if get_origin(hints[name]) is Literal else (),
            optional=NoneType in get_args(hints[name]),
        )
        for name, field in ordered
    ]


def read_form(given: Mapping[str, str], base: Config) -> Config:
    """The configuration that a form asks for; what it leaves out stays as in `base`.

    Args:
        given: text by the name of the field; other names are no settings and are passed over.
        base: of the fields that are not given.

    Raises:
        ValueError: a text that is no such value, or a value out of its range; the message names it.
    """
    values = base.to_json()
    for setting in settings_of(type(base)):
        if setting.name in given:
            values[setting.name] = _read(setting, given[setting.name].strip())
    return type(base).from_json(values)


def written(value: Any) -> str:
    """A value as a form shows it; `read_form` reads it back."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ", ".join(written(item) for item in value)
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _kind(hint: Any) -> str:
    plain = next((option for option in get_args(hint) if option is not NoneType), hint)
    if get_origin(hint) is tuple:
        return "numbers" if plain is float else "words"
    return {bool: "switch", int: "whole", float: "number"}.get(plain, "word")


def _read(setting: Setting, text: str) -> Any:
    if setting.optional and not text:
        return None
    items = [item.strip() for item in text.split(",") if item.strip()]
    match setting.kind:
        case "switch":
            if text not in ("on", "off"):
                raise ValueError(f"{setting.name} is {text!r}; it must be on or off")
            return text == "on"
        case "words":
            return items
        case "numbers":
            return [_number(setting.name, item, float) for item in items]
        case "whole":
            return _number(setting.name, text, int)
        case "number":
            return _number(setting.name, text, float)
    return text


def _number(name: str, text: str, kind: type[int] | type[float]) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {text!r}; it must be {what}") from None
    if not isfinite(value):
        raise ValueError(f"{name} is {text!r}; it must be a finite number")
    return value
