"""What every test may use: a PostgreSQL of its own, folders of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.supervisor.postgres import Postgres
from annotate.supervisor.processes import Child, Command


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: two processes that share the files out then end at about one time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real PostgreSQL, started once, and only when a test needs it."""
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder / "cluster", is_durable=False)
    server.prepare()
    # Tests roll back what they write: a table that autovacuum measures in between is planned for as empty
    # while it is full, or the reverse, and what takes milliseconds takes minutes now and then.
    command = [*server.command(), "-c", "autovacuum=off"]
    child = Child(Command("postgres", command, signal.SIGINT), folder, is_quiet=True)
    child.start()
    try:
        deadline = time.monotonic() + 60
        while not server.is_ready():
            if not child.is_running or time.monotonic() > deadline:
                pytest.exit(
                    f"the PostgreSQL of the tests does not start:\n{child.last_lines()}", returncode=3
                )
            time.sleep(0.02)
        yield server
    finally:
        child.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Postgres) -> None:
    """Where pytest-django makes its test database."""
    from django.db import connections

    host = postgres.url("postgres").rpartition("host=")[2]
    connections["default"].settings_dict["HOST"] = host


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests write below pytest's temporary folder, never into var/."""
    from django.conf import settings

    settings.VAR_DIR = tmp_path_factory.mktemp("var")
    settings.STORAGE_ROOT = settings.VAR_DIR / "storage"
    settings.STORAGE_ROOT.mkdir(mode=0o750)
    return settings.VAR_DIR
