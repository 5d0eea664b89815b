"""What every test may use: a PostgreSQL of its own, folders of its own."""

from __future__ import annotations

import gc
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.storage.address import FolderAddress
from annotate.supervisor.postgres import Postgres
from annotate.supervisor.processes import Child, Command
from tests import migrated_cluster
from tests.emptied_tables import empty_only_what_is_filled
from tests.object_store import ObjectStore

# Collecting makes a million objects that all stay: looking for garbage among them is a fifth of its time.
gc.disable()
#: Afterwards a new object costs less with a search in so many than in Python's own 700.
OBJECTS_PER_SEARCH = 20_000

#: A test file that needs a library of the `ml` extra says so in one of these ways.
NEEDS_ML = re.compile(r"""^\s*(?:\w+ = )?pytest\.importorskip\(|^(?:import|from) torch\b""", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="no browser, no training, nothing that takes long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--fast`, files are left out before they import anything that takes seconds."""
    if not config.getoption("fast"):
        return None
    if collection_path.is_dir():
        return collection_path == Path(__file__).parent / "browser" or None
    return bool(NEEDS_ML.search(collection_path.read_text(encoding="utf-8"))) or None


def takes_long(item: pytest.Item) -> bool:
    """Marked as slow, needs an S3 server, or its tables are emptied after it, which outlasts most tests."""
    database = item.get_closest_marker("django_db")
    fixtures = getattr(item, "fixturenames", ())
    is_alone = "transactional_db" in fixtures or bool(database and database.kwargs.get("transaction"))
    is_on_a_bucket = "object_store" in fixtures or "bucket" in item.name
    return bool(item.get_closest_marker("slow")) or is_alone or is_on_a_bucket


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests come first: two processes that share the files out then end at about one time."""
    if config.getoption("fast"):
        items[:] = [item for item in items if not takes_long(item)]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector, which a trainer calls, need not go through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_PER_SEARCH)
    gc.enable()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real PostgreSQL with the schema in it, started once, and only when a test needs it."""
    server = Postgres(tmp_path_factory.mktemp("postgres") / "cluster", is_durable=False)
    migrated_cluster.copy_to(server)
    server.prepare()
    with migrated_cluster.running(server):
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Postgres) -> None:
    """Where pytest-django finds its test database."""
    from django.db import connections

    host = postgres.url("postgres").rpartition("host=")[2]
    connections["default"].settings_dict["HOST"] = host


@pytest.fixture(scope="session", autouse=True)
def _quick_emptying() -> None:
    empty_only_what_is_filled()


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The schema is in the cluster already, which goes as a whole."""
    return True


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests write below pytest's temporary folder, never into var/."""
    from django.conf import settings

    settings.VAR_DIR = tmp_path_factory.mktemp("var")
    settings.STORAGE_ROOT = settings.VAR_DIR / "storage"
    settings.STORAGE = FolderAddress(settings.STORAGE_ROOT)
    settings.STORAGE_ROOT.mkdir(mode=0o750)
    return settings.VAR_DIR


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server, started once, and only when a test needs it."""
    store = ObjectStore(tmp_path_factory.mktemp("object-store"))
    # Killed: what it holds is thrown away, and it would take its time to end in order.
    command = Command("object-store", store.command(), signal.SIGKILL)
    child = Child(command, store.folder, is_quiet=True)
    child.start()
    try:
        deadline = time.monotonic() + 60
        while not store.is_ready():
            if not child.is_running or time.monotonic() > deadline:
                pytest.fail(f"the S3 server of the tests does not start:\n{child.last_lines()}")
            time.sleep(0.05)
        yield store
    finally:
        child.stop()
