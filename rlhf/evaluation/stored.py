"""Requests and results as they were stored by earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Lists whose entries say of which system they are.
_OF_SYSTEMS = ("videos", "failed", "holes", "directions")


def in_current_keys(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A request or result of `rlhf.evaluate`; versions up to 0.1.0 called a system an arm."""
    if "arms" not in stored:
        return dict(stored)
    current = {"systems" if key == "arms" else key: value for key, value in stored.items()}
    for name in current.keys() & set(_OF_SYSTEMS):
        current[name] = [
            {"system" if key == "arm" else key: value for key, value in entry.items()}
            for entry in current[name]
        ]
    return current
