"""The tables of frozen sets: Parquet whose columns come from the types of a record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

from generator.frozen_set import FrozenSetError, MediaFile, encode_line
from generator.validation import fields_of, read, record, to_json

if TYPE_CHECKING:
    import pyarrow as pa

#: Each group costs a writer some 80 kB until the file is closed, and some 10 kB per row while it is filled.
ROWS_PER_GROUP = 1_024


@dataclass(frozen=True)
class StoredAs:
    """In a type: a value is stored as another type, such as facts as JSON text."""

    kind: Any


@dataclass(frozen=True)
class Keys:
    """In the type of a mapping: it has a column for each of these keys."""

    names: tuple[str, ...]


@record
class Row:
    """One row of a table; the order of its fields is that of the columns."""

    def to_json(self) -> dict[str, Any]:
        """In the words of the tables."""
        row: dict[str, Any] = _flat(to_json(self))
        return row

    @classmethod
    def from_json(cls, item: Mapping[str, Any], folder: Path) -> Self:
        """The inverse of `to_json`, with files that lie in the set in `folder`.

        Raises:
            ValueError: a column is missing, or has a value that the format does not allow, such as a path out
                of the media folder.
        """
        return read(cls, _with_files(dict(item)), folder)


def _flat(value: Any) -> Any:
    """A file's path and hash stand beside the other values of what holds it as `file`."""
    if isinstance(value, list):
        return [_flat(item) for item in value]
    if isinstance(value, dict):
        return {**value.get("file", {}), **{k: _flat(item) for k, item in value.items() if k != "file"}}
    return value


def _with_files(value: Any) -> Any:
    """The inverse of `_flat`."""
    if isinstance(value, list):
        return [_with_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {name: _with_files(item) for name, item in value.items()}
    if "path" in value and len(value) > 2:
        value["file"] = {"path": value.pop("path"), "sha256": value.pop("sha256", "")}
    return value


def columns_of(kind: Any, **derived: str) -> list[tuple[str, pa.DataType]]:
    """The columns of a record (or named tuple) in the order of its fields; a file has two, its path and hash.

    Stated, not inferred, so that an empty table has them, too.

    Args:
        kind: of the record.
        derived: further columns of text, by the name of the column that each follows.
    """
    import pyarrow as pa

    columns: list[tuple[str, pa.DataType]] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        info = fields_of(kind).get(name)
        if info is not None and info.exclude:
            continue
        if name == "file":
            columns += columns_of(MediaFile)
        else:
            alias = info.serialization_alias if info is not None else None
            columns.append((alias or name, _arrow(hint)))
        if follower := derived.get(columns[-1][0]):
            columns.append((follower, pa.string()))
    return columns


def _arrow(hint: Any) -> pa.DataType:
    import pyarrow as pa

    if get_origin(hint) is Annotated:
        plain, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, StoredAs):
                return _arrow(mark.kind)
            if isinstance(mark, Keys):
                value = _arrow(get_args(plain)[1])
                return pa.struct([(name, value) for name in mark.names])
        return _arrow(plain)
    if NoneType in (options := get_args(hint)):
        return _arrow(next(option for option in options if option is not NoneType))
    if get_origin(hint) is tuple:
        return pa.list_(_arrow(options[0]))
    if get_origin(hint) is Literal or issubclass(hint, str | Path | date):
        return pa.string()
    simple: dict[Any, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    if hint in simple:
        return simple[hint]
    return pa.struct(columns_of(hint))


class TableWriter:
    """Write one table, row group by row group, and hash its rows.

    Args:
        path: the Parquet file.
        columns: with their types, in order.
    """

    def __init__(self, path: Path, columns: list[tuple[str, pa.DataType]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()
        self._writer.close()

    @property
    def sha256(self) -> str:
        """Of the rows as JSON lines (hex), which no version of Parquet changes."""
        return self._digest.hexdigest()

    def add(self, row: Mapping[str, Any]) -> bytes:
        """Append one row, and give its line; memory holds one row group."""
        self._digest.update(line := encode_line(row))
        self._rows.append(dict(row))
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()
        return line

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def write_table(rows: Iterable[Mapping[str, Any]], path: Path, columns: list[tuple[str, pa.DataType]]) -> str:
    """Write rows, and give their hash, see `TableWriter`."""
    with TableWriter(path, columns) as table:
        for row in rows:
            table.add(row)
    return table.sha256


def read_table(path: Path, remedy: str) -> Iterator[dict[str, Any]]:
    """The rows of one table, in order, a row group in memory at a time.

    Raises:
        FrozenSetError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_GROUP):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise FrozenSetError(f"{path} cannot be read: {' '.join(str(error).split())}; {remedy}") from None


def rows_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """The hash of a table's rows, as `TableWriter` takes it."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(encode_line(row))
    return digest.hexdigest()
