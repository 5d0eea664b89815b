"""A dataset's folder -> rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from generator.dataset.columns import TABLES
from generator.dataset.manifest import Manifest
from generator.dataset.rows import InstanceRow, PersonRow, ReferenceRow
from generator.frozen_set import FrozenSetError
from generator.frozen_table import read_table, rows_sha256

Row = TypeVar("Row", PersonRow, ReferenceRow, InstanceRow)


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk whose tables are as they were written; each media file is checked by who takes it."""

    folder: Path
    manifest: Manifest

    def people(self) -> Iterator[PersonRow]:
        """The people, one by one.

        Raises:
            FrozenSetError: a row that this format does not allow.
        """
        return self._rows("people", PersonRow)

    def references(self) -> Iterator[ReferenceRow]:
        """Their references, one by one; raises like `people`."""
        return self._rows("references", ReferenceRow)

    def instances(self) -> Iterator[InstanceRow]:
        """Their instances, one by one; raises like `people`."""
        return self._rows("instances", InstanceRow)

    def _rows(self, table: str, row: type[Row]) -> Iterator[Row]:
        path = self.folder / f"{table}.parquet"
        for number, item in enumerate(read_table(path, Manifest.remedy), start=1):
            try:
                yield row.from_json(item, self.folder)
            except ValueError as error:
                raise FrozenSetError(f"{path} row {number}: {error}; {Manifest.remedy}") from None


def read_dataset(folder: Path | str) -> Dataset:
    """Open a dataset and check that its tables are complete and unchanged.

    Args:
        folder: as written by `write_dataset`.

    Raises:
        FrozenSetError: a table is missing or changed; the message names it.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    for table in TABLES:
        path = folder / f"{table}.parquet"
        if rows_sha256(read_table(path, Manifest.remedy)) != manifest.rows_sha256.get(table):
            raise FrozenSetError(f"{path} has other rows than the manifest says; {Manifest.remedy}")
    return Dataset(folder, manifest)
