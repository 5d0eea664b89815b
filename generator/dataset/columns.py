"""The columns of a dataset's tables; docs/dataset.md says what they mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from generator.dataset.manifest import DatasetError
from generator.frozen_set import encode_line
from generator.records import ELEMENTS

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("people", "references", "instances")
ROWS_A_GROUP = 256


class TableWriter:
    """Write one table, row group by row group, and hash its rows.

    The columns are stated, not inferred, so that an empty table has them, too.

    Args:
        path: the Parquet file.
        table: one of `TABLES`.
    """

    def __init__(self, path: Path, table: str) -> None:
        """Open the file."""
        import pyarrow.parquet as pq

        self._schema = schemas()[table]
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        """Use it as a context manager, so that the last rows are written."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, and close the file."""
        self._flush()
        self._writer.close()

    @property
    def sha256(self) -> str:
        """Of the rows as JSON lines (hex)."""
        return self._digest.hexdigest()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; every column must be there."""
        self._digest.update(encode_line(row))
        self._rows.append(dict(row))
        if len(self._rows) == ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one table, in order, a row group in memory at a time.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_A_GROUP):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read: {error}; export the dataset again") from None


def rows_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """The hash of a table's rows, as `TableWriter` takes it."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(encode_line(row))
    return digest.hexdigest()


def schemas() -> dict[str, pa.Schema]:
    """The columns of each table, in the order in which a person reads them."""
    import pyarrow as pa

    text, whole, share = pa.string(), pa.int64(), pa.float64()
    person: list[tuple[str, pa.DataType]] = [("source", text), ("person", text)]
    file: list[tuple[str, pa.DataType]] = [("path", text), ("sha256", text)]
    place = pa.struct([*file, ("kind", text), ("reference", text), ("recipe", text)])
    change = pa.struct(
        [
            ("element", text),
            ("primary", text),
            ("target", text),
            ("changed", pa.bool_()),
            ("similarity", share),
            ("statement", text),
        ]
    )
    prompt = pa.struct([("text", text), ("method", text), ("elements", pa.list_(change))])
    return {
        "people": pa.schema(
            [
                *person,
                ("split", text),
                ("licence", text),
                ("consent", pa.list_(text)),
                ("consent_expires_on", text),
                ("truth", text),
            ]
        ),
        "references": pa.schema(
            [
                *person,
                *file,
                ("kind", text),
                ("source_name", text),
                ("source_sha256", text),
                ("shot", whole),
                ("is_primary", pa.bool_()),
                ("width", whole),
                ("height", whole),
                ("num_frames", whole),
                ("fps", share),
                ("elements", pa.struct([(element, text) for element in ELEMENTS])),
                ("facts", text),
                ("boxes", text),
                ("quality", text),
                ("annotation", pa.struct(file)),
            ]
        ),
        "instances": pa.schema(
            [
                *person,
                ("split", text),
                ("instance_id", text),
                ("prompt", text),
                ("references", pa.list_(place)),
                ("target", pa.struct(file)),
                ("prompts", pa.list_(prompt)),
            ]
        ),
    }
