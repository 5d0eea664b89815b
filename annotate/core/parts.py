"""Long lists in parts, by the key of the last row that was shown: a part costs the same wherever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Part(Generic[Row]):
    """Some rows, the newest first; `older` is what the next part comes before, if there is one."""

    rows: list[Row]
    older: int | None
    is_newest: bool


def part_of(rows: QuerySet[Row], before: str, size: int) -> Part[Row]:
    """The newest rows whose key is below `before`; of all where that is no key."""
    is_newest = not (before.isascii() and before.isdecimal() and len(before) < 19)
    newest = rows.order_by("-pk") if is_newest else rows.filter(pk__lt=int(before)).order_by("-pk")
    found = list(newest[: size + 1])
    return Part(found[:size], found[size - 1].pk if len(found) > size else None, is_newest)
