"""The schema is migrated once, kept in pytest's cache, and copied for each process that runs tests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotate.supervisor.postgres import Postgres
from annotate.supervisor.processes import Child, Command

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".pytest_cache" / "clusters"
#: As Django names the one that tests may change.
DATABASE = "test_anyid"
PATIENCE_S = 60
# Tests roll back what they write: a table that autovacuum measures in between is planned for as empty
# while it is full, or the reverse, and what takes milliseconds takes minutes now and then.
OPTIONS = ["-c", "autovacuum=off"]


@contextmanager
def running(server: Postgres) -> Iterator[None]:
    """Start a prepared cluster, and stop it at the end.

    Raises:
        RuntimeError: it does not start.
    """
    child = Child(
        Command("postgres", [*server.command(), *OPTIONS], signal.SIGINT), server.folder, is_quiet=True
    )
    child.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not server.is_ready():
            if not child.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"the PostgreSQL of the tests does not start:\n{child.last_lines()}")
            time.sleep(0.02)
        yield
    finally:
        child.stop()


def copy_to(server: Postgres) -> None:
    """Give a cluster the migrated schema; the first to come migrates it, and the others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        template = Postgres(CACHE / _state_of_the_code(), is_durable=False)
        if not template.data.is_dir():
            for folder in CACHE.iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder)
            _migrate(template)
    server.folder.mkdir(parents=True, exist_ok=True)
    # Not shutil: the files belong to PostgreSQL's own account.
    subprocess.run(["cp", "-a", str(template.data), str(server.data)], check=True)


def _migrate(template: Postgres) -> None:
    """In a folder that gets its name at the end, so that what was cut short is made anew."""
    unfinished = Postgres(template.folder.with_suffix(".unfinished"), is_durable=False)
    unfinished.prepare()
    with running(unfinished):
        unfinished.ensure_database(DATABASE)
        address = unfinished.url(DATABASE)
        environment = {
            "DJANGO_SETTINGS_MODULE": "annotate.settings",
            "DATABASE_URL": address,
            "SECRET_KEY": "only for tests, where nothing is signed",
        }
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    unfinished.folder.rename(template.folder)


def _state_of_the_code() -> str:
    """What the schema follows from: our migrations, and the releases of Django and PostgreSQL."""
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes())
    for path in sorted((ROOT / "annotate" / "migrations").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
