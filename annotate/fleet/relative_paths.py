"""What a request names outside of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def relative_paths(value: Any) -> Iterator[str]:
    """Such paths begin with two dots."""
    if isinstance(value, str):
        if value.startswith("../"):
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from relative_paths(part)
    elif isinstance(value, list):
        for part in value:
            yield from relative_paths(part)
