"""A real HTTP server that answers like models, and what it is told to do wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.generator.prompts.openai_server import Script, openai_server


@pytest.fixture
def served() -> Iterator[tuple[str, Script]]:
    with openai_server() as server:
        yield server


@pytest.fixture
def url(served) -> str:
    return served[0]


@pytest.fixture
def script(served) -> Script:
    return served[1]
