"""Records that check themselves: pydantic finds what is wrong, and one line here says it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Annotated, Any, Self, TypeVar, dataclass_transform, get_args, get_origin

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

T = TypeVar("T")


def _as_given(value: Any, check: Callable[[Any], float]) -> Any:
    check(value)
    return value


#: A number that stays as it was given, so that 5 for 5.0 changes no digest of settings.
Number = Annotated[float, WrapValidator(_as_given), PlainSerializer(lambda value: value)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

#: What a value must be, by pydantic's name of the complaint.
_RULES = {
    "bool_type": "true or false",
    "dataclass_type": "a JSON object",
    "date_from_datetime_parsing": "a day such as 2030-12-31",
    "date_parsing": "a day such as 2030-12-31",
    "date_type": "a day such as 2030-12-31",
    "dict_type": "a JSON object",
    "enum": "one of {expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "one_of": "one of {expected}",
    "string_pattern_mismatch": "like {pattern}",
    "string_too_long": "a text of at most {max_length} characters",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "tuple_type": "a list",
}


def one_of(names: Iterable[str]) -> AfterValidator:
    """A text that is one of a few, for places that hold it as a plain text."""
    known = tuple(names)

    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError("one_of", "unknown", {"expected": ", ".join(known)})
        return value

    return AfterValidator(check)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def record(kind: type[T]) -> type[T]:
    """Make a frozen dataclass whose values are checked by their types and `Field`s, unknown ones refused.

    Making one raises ValueError with one line; cross-field rules are pydantic's `model_validator`s.
    """
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, cache_strings="keys")
    made: Any = dataclass(frozen=True, config=config)(kind)
    checked = made.__init__

    @wraps(checked)
    def __init__(self: Any, *values: Any, **named: Any) -> None:
        try:
            checked(self, *values, **named)
        except ValidationError as error:
            raise ValueError(complaint(error, made)) from None

    made.__init__ = __init__
    checked_kind: type[T] = made
    return checked_kind


def read(kind: type[T], value: Any, context: Any = None) -> T:
    """A record from what JSON holds of it.

    Args:
        kind: of the record.
        value: as parsed.
        context: for validators that need to know more, such as the folder in which files lie.

    Raises:
        ValueError: one line that names the field, its value and what it must be.
    """
    return parse(kind, json.dumps(value), context)


def parse(kind: type[T], text: str | bytes, context: Any = None) -> T:
    """A record from JSON; arguments and errors as of `read`."""
    try:
        made: T = _adapter(kind).validate_json(text, context=context)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValueError(complaint(error, kind)) from None
    return made


def to_json(value: Any) -> Any:
    """What `read` reads: the record as JSON holds it."""
    return _adapter(type(value)).dump_python(value, mode="json", by_alias=True)  # type: ignore[arg-type]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Stored:
    """What every record can do that JSON holds."""

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        item: dict[str, Any] = to_json(self)
        return item

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The inverse of `to_json`; raises like `read`."""
        return read(cls, value)


def complaint(error: ValidationError, kind: Any = None) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    *holders, name = first["loc"] or ("",)
    if not holders and isinstance(name, int):  # given without its name
        name = list(fields_of(kind))[name]
    path, name, what = named([*holders, name]), str(name), first["type"]
    context: Mapping[str, Any] = first.get("ctx", {})
    if what in ("missing", "missing_argument"):
        return f"{named(holders)} has no {name}".lstrip()
    if what in ("unexpected_keyword_argument", "extra_forbidden"):
        known = "" if holders else f"; known are {', '.join(fields_of(kind))}"
        return f"{named(holders)} has an unknown field {name!r}".lstrip() + known
    if what == "value_error":
        return f"{path}: {context['error']}" if path else str(context["error"])
    if what == "json_invalid":
        return f"is not JSON ({context['error']})"
    info = fields_of(kind).get(name) if not holders else None
    rule = (range_of(info) if info and "than" in what else "") or _rule(what, context) or first["msg"]
    return f"{path or 'it'} is {first['input']!r}; it must be {rule}"


def named(path: Sequence[int | str]) -> str:
    """Where a value is: `references[0].kind`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def fields_of(kind: Any) -> dict[str, Any]:
    """The fields of a record with their metadata."""
    return getattr(kind, "__pydantic_fields__", {})


def range_of(info: Any) -> str:
    """The range of a field in words, such as `in [0, 1)`; empty where it has none."""
    bounds: dict[str, float] = {}
    for item in [*info.metadata, *_nested(info.annotation)]:
        bounds |= {
            name: value
            for name in ("gt", "ge", "lt", "le")
            if (value := getattr(item, name, None)) is not None
        }
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt", bounds.get("le"))
    if low is not None and high is not None:
        return f"in {'(' if 'gt' in bounds else '['}{low:g}, {high:g}{')' if 'lt' in bounds else ']'}"
    for name, words in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most")):
        if name in bounds:
            return f"{words} {bounds[name]:g}"
    return ""


def _nested(hint: Any) -> list[Any]:
    """The metadata of `Annotated[...] | None`."""
    return [
        inner
        for item in get_args(hint)
        if get_origin(item) is Annotated
        for mark in get_args(item)[1:]
        for inner in getattr(mark, "metadata", [mark])
    ]


def _rule(what: str, context: Mapping[str, Any]) -> str:
    values = {name: v.replace("'", "") if isinstance(v, str) else v for name, v in context.items()}
    return _RULES[what].format(**values) if what in _RULES else ""
