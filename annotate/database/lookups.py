"""`column__in=[...]` as one parameter, however long the list is.

PostgreSQL takes 65,535 parameters at most, and Django sends one for each value, also where it fetches
related rows or deletes. Short lists stay as they are: of `IN (a, b)` the planner knows more than of an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Field, ForeignObject
from django.db.models.expressions import ColPairs
from django.db.models.fields.related_lookups import RelatedIn
from django.db.models.lookups import In

#: Values that are still sent one by one.
MAX_INLINE = 100


class _AsArray(In):
    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Sequence[Any]]:
        if isinstance(self.lhs, ColPairs) or not self.rhs_is_direct_value() or len(self.rhs) <= MAX_INLINE:
            return self.as_sql(compiler, connection)
        placeholders, values = self.process_rhs(compiler, connection)
        if set(placeholders[1:-1].split(", ")) != {"%s"}:  # an expression among them, or a type of its own
            return self.as_sql(compiler, connection)
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", [*params, list(values)]


class ArrayIn(_AsArray, In):
    """Of columns."""


class RelatedArrayIn(_AsArray, RelatedIn):
    """Of foreign keys, from either end."""


def register() -> None:
    """Replace Django's own; done once, when the application is ready."""
    Field.register_lookup(ArrayIn)
    ForeignObject.register_lookup(RelatedArrayIn)
