"""The columns of a dataset's tables; docs/dataset.md says what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.dataset.rows import InstanceRow, PersonRow, ReferenceRow
from generator.frozen_table import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("people", "references", "instances")


def columns() -> dict[str, list[tuple[str, pa.DataType]]]:
    """The columns of each table, in the order in which a person reads them."""
    return {
        "people": columns_of(PersonRow),
        "references": columns_of(ReferenceRow),
        "instances": columns_of(InstanceRow, instance_id="prompt"),
    }
