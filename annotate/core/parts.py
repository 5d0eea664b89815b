"""Long lists in parts, by the keys of the last row that was shown: a part costs the same wherever it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)

#: By which columns a list is sorted, together unique, and the types of their values.
Order = Mapping[str, type]
NEWEST: Order = {"-pk": int}
#: Rows that a page counts: more would only be another number, and cost what it says.
MAX_COUNTED = 1_000


@dataclass(frozen=True)
class Part(Generic[Row]):
    """Some rows; `after` is what the next part comes after, if there is one."""

    rows: list[Row]
    after: str | None
    is_first: bool


def part_of(rows: QuerySet[Row], after: str, size: int, order: Order = NEWEST) -> Part[Row]:
    """The rows that come after a place in the order; the first ones where that is no place."""
    place = _read(after, order)
    ordered = rows.order_by(*order)
    found = list((ordered if place is None else ordered.filter(_beyond(place, order)))[: size + 1])
    following = _written(found[size - 1], order) if len(found) > size else None
    return Part(found[:size], following, place is None)


def counted(rows: QuerySet[Any]) -> int:
    """How many there are, up to one more than `MAX_COUNTED`."""
    return rows.order_by()[: MAX_COUNTED + 1].count()


def _read(text: str, order: Order) -> list[Any] | None:
    try:
        place = json.loads(text) if len(text) < 1_000 else None
    except ValueError:
        return None
    values = place if isinstance(place, list) else [place]
    if len(values) != len(order):
        return None
    read = [
        _moment(value) if wanted is datetime else value
        for value, wanted in zip(values, order.values(), strict=True)
    ]
    return read if all(map(_fits, read, order.values())) else None


def _moment(text: Any) -> datetime | None:
    """None where it is none, or says no time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def _fits(value: Any, wanted: type) -> bool:
    if type(value) is not wanted:
        return False
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, datetime):
        return True
    return isinstance(value, int) and abs(value) < 2**63


def _written(row: Model, order: Order) -> str:
    values = [getattr(row, column.removeprefix("-")) for column in order]
    values = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False)


def _beyond(place: Sequence[Any], order: Order) -> Q:
    """Beyond it on the first column, or level with it there and beyond it on the next, and so on.

    The bound on the first column alone is what an index is searched by.
    """
    wanted, level = Q(), Q()
    for column, value in zip(order, place, strict=True):
        name, way = column.removeprefix("-"), "lt" if column.startswith("-") else "gt"
        wanted |= level & Q(**{f"{name}__{way}": value})
        level &= Q(**{name: value})
    first, way = next(iter(order)), "lte" if next(iter(order)).startswith("-") else "gte"
    return Q(**{f"{first.removeprefix('-')}__{way}": place[0]}) & wanted
