"""`pairs.jsonl` -> `pairs.parquet`, row group by row group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.records import EXPRESSED, Track, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP = 256


def write_parquet(lines: Path, target: Path) -> None:
    """Convert a file of JSON lines.

    The schema is stated, not inferred, so an empty set and a set without descriptions have the same columns.

    Args:
        lines: `pairs.jsonl`, complete.
        target: file to write; equal lines give equal bytes under one pyarrow version.
    """
    with open(lines, encoding="utf-8") as source:
        write_groups(map(json.loads, source), target, _schema())


def write_groups(rows: Iterable[Mapping[str, Any]], target: Path, schema: pa.Schema) -> None:
    """Write rows with stated columns; memory holds one row group.

    Args:
        rows: values by column.
        target: file to write.
        schema: of the columns, in their order.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = iter(rows)
    with pq.ParquetWriter(target, schema) as writer:
        while group := [dict(row) for row in islice(rows, ROWS_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _schema() -> pa.Schema:
    """Columns in the order in which a person reads a pair."""
    import pyarrow as pa

    text, number, share = pa.string(), pa.int64(), pa.float64()
    sample = pa.struct([("path", text), ("sha256", text), ("seed", number)])
    reference = pa.struct([("path", text), ("sha256", text), ("kind", text)])
    element = pa.struct(
        [
            ("element", text),
            ("primary", text),
            ("target", text),
            ("changed", pa.bool_()),
            ("similarity", share),
            ("statement", text),
        ]
    )
    track = pa.struct(
        [
            ("verdict", text),
            ("posterior", pa.struct([(str(verdict), share) for verdict in EXPRESSED])),
            ("votes", pa.struct([(str(verdict), number) for verdict in Verdict])),
        ]
    )
    columns: list[tuple[str, pa.DataType]] = [
        ("pair_id", number),
        ("id_group", text),
        ("references", pa.list_(reference)),
        ("primary_reference", text),
        ("differential_prompt", text),
        ("elements", pa.list_(element)),
        ("win", sample),
        ("lose", sample),
        ("tracks", pa.struct([(str(name), track) for name in Track])),
        ("model_version", text),
        ("licence", text),
        ("is_simulated", pa.bool_()),
    ]
    return pa.schema(columns)
