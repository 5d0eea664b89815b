"""The order of references on the temporal axis: what was trained, and so recorded with a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

#: Seen from the start of the axis.
ORDERS = ("primary_first", "primary_last")

Item = TypeVar("Item")


def in_order(references: Sequence[Item], order: str) -> list[Item]:
    """References that are given with the primary first, as they stand on the temporal axis.

    Args:
        references: anything, one item a reference.
        order: one of `ORDERS`; `primary_last` turns the whole list round.

    Raises:
        ValueError: an unknown order.
    """
    if order not in ORDERS:
        raise ValueError(f"reference_order is {order!r}; it must be {' or '.join(map(repr, ORDERS))}")
    return list(references) if order == "primary_first" else list(reversed(references))
