"""Many rows as arrays: each column comes as one value, so that no object is made for a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import QuerySet
from numpy.typing import NDArray

#: Of each NumPy type: PostgreSQL's function that gives a value's bytes, its type, and how NumPy reads it.
_KINDS = {
    "bool": ("boolsend", "bool", "?"),
    "int8": ("int2send", "int2", ">i2"),
    "int64": ("int8send", "int8", ">i8"),
    "float64": ("float8send", "float8", ">f8"),
}


def read_columns(rows: QuerySet[Any, tuple[Any, ...]], kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The columns of `rows.values_list(...)`, none of whose values is null.

    Args:
        rows: as many columns as `kinds`, in that order.
        kinds: names of the arrays, and their NumPy types.
    """
    compiler = rows.query.get_compiler(connection=connection, elide_empty=False)
    statement, parameters = compiler.as_sql()
    columns = ", ".join(_bytes_of(name, kind) for name, kind in kinds.items())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM ({statement}) AS rows ({', '.join(kinds)})", parameters)
        (read,) = cursor.fetchall()
    return {
        name: np.frombuffer(value, _KINDS[kind][2]).astype(kind)
        for (name, kind), value in zip(kinds.items(), read, strict=True)
    }


def _bytes_of(column: str, kind: str) -> str:
    send, cast, _ = _KINDS[kind]
    return f"coalesce(string_agg({send}({column}::{cast}), ''::bytea), ''::bytea)"
