"""The settings table says what the program reads, and docker compose hands all of it on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annotate.core.environment import Environment
from annotate.management.commands.settings_table import NOT_IN_EXAMPLE, files
from annotate.settings import env

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("name", "text"), files(env.declared).items(), ids=lambda value: value[:16])
def test_the_table_is_as_settings_say(name: str, text: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run: make settings"


def test_every_variable_is_declared_once_with_a_sentence() -> None:
    names = [row.name for row in env.declared]
    assert len(names) == len(set(names)) > 30
    assert [row.name for row in env.declared if not row.section or not row.meaning.endswith(".")] == []


def test_a_default_in_the_table_is_the_one_in_force() -> None:
    bare = Environment({})
    assert bare.integer("LEASE_S", 900, "Seconds.", low=30, high=86_400) == 900
    assert bare.flag("DEBUG", "Pages.") is False
    assert [(row.default, row.is_computed) for row in bare.declared] == [("900", False), ("0", False)]


def test_docker_compose_hands_on_every_variable_of_the_example() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(\w+)", compose))
    names = {row.name for row in env.declared} - NOT_IN_EXAMPLE
    assert names - used == set()
