"""Many rows as arrays: each column of a block of rows comes as one value, without an object per row."""

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
#: A whole column as one value would take a hundred bytes per row in the connection.
BLOCK = 50_000
_IN_BLOCKS = f"""
SELECT {{columns}} FROM (
    SELECT *, row_number() OVER () / {BLOCK} AS block FROM ({{statement}}) AS rows ({{names}})
) AS numbered
GROUP BY block
"""


def read_columns(rows: QuerySet[Any, tuple[Any, ...]], kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The columns of `rows.values_list(...)`, none of whose values is null.

    Args:
        rows: as many columns as `kinds`, in that order.
        kinds: names of the arrays, and their NumPy types.
    """
    compiler = rows.query.get_compiler(connection=connection, elide_empty=False)
    statement, parameters = compiler.as_sql()
    columns = ", ".join(_bytes_of(name, kind) for name, kind in kinds.items())
    blocks: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, kind)] for name, kind in kinds.items()}
    with connection.cursor() as cursor:
        rows_of = _IN_BLOCKS.format(columns=columns, names=", ".join(kinds), statement=statement)
        for block in cursor.stream(rows_of, parameters):
            for (name, kind), value in zip(kinds.items(), block, strict=True):
                blocks[name].append(np.frombuffer(value, _KINDS[kind][2]).astype(kind))
    return {name: np.concatenate(blocks.pop(name)) for name in kinds}


def _bytes_of(column: str, kind: str) -> str:
    send, cast, _ = _KINDS[kind]
    return f"string_agg({send}({column}::{cast}), ''::bytea)"
