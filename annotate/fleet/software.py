"""Which version of this software a machine runs."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


@cache
def software_version() -> str:
    """As the project file beside the packages says; what pip installed may be an empty shell of it."""
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
