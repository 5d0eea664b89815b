"""The embedded PostgreSQL and Redis, and the supervisor that runs them with the site."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from annotate.core.sockets import POSTGRES_SOCKET, socket_folder
from annotate.supervisor.postgres import Postgres
from annotate.supervisor.processes import Child, Command, stop_leftovers
from annotate.supervisor.redis import Redis

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 120


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end by the death of its parent
            process.kill()
    psutil.wait_procs(processes, PATIENCE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Supervised:
    """One `python -m annotate.supervisor ...` in a VAR_DIR of its own."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port = free_port()
        self.started: list[psutil.Process] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.var.parent),
            "VAR_DIR": str(self.var),
            "PORT": str(self.port),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "annotate.supervisor", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(psutil.Process(process.pid))
        return process

    def hold_services(self) -> subprocess.Popen[str]:
        """Start the services with a command that does nothing, and return once it runs."""
        process = self.start("run", "sh", "-c", "echo up; exec sleep 600")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "up\n", process.communicate()
        return process

    def family(self) -> list[psutil.Process]:
        """The supervisor that runs and everything below it."""
        running = [process for process in self.started if process.is_running()]
        return [*running, *(child for process in running for child in process.children(recursive=True))]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    site = Supervised(tmp_path / "var")
    yield site
    kill_all(site.family())
    for folder, name in (("postgres", POSTGRES_SOCKET), ("redis", "redis.sock")):
        moved = socket_folder(site.var / folder, name)
        if not moved.is_relative_to(site.var):
            shutil.rmtree(moved, ignore_errors=True)


def keep_something(var: Path) -> None:
    with psycopg.connect(Postgres(var / "postgres").url("anyid")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    with redis.Redis(unix_socket_path=str(Redis(var / "redis").socket)) as client:
        client.rpush("queue", "a job")


def what_was_kept(var: Path) -> tuple[int, list[bytes]]:
    with psycopg.connect(Postgres(var / "postgres").url("anyid")) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    assert row is not None
    with redis.Redis(unix_socket_path=str(Redis(var / "redis").socket)) as client:
        return row[0], client.lrange("queue", 0, -1)


def test_it_recovers_after_everything_was_killed(supervised: Supervised) -> None:
    supervised.hold_services()
    keep_something(supervised.var)
    victims = supervised.family()
    kill_all(victims)
    assert (supervised.var / "postgres" / "data" / "postmaster.pid").exists()

    again = supervised.hold_services()
    assert what_was_kept(supervised.var) == (42, [b"a job"])
    again.terminate()
    assert again.wait(PATIENCE_S) == 130
    assert not (supervised.var / "postgres" / "data" / "postmaster.pid").exists()
    assert list((supervised.var / "run").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("setpriv") is None, reason="needs Linux' setpriv")
def test_nothing_outlives_a_killed_supervisor(supervised: Supervised) -> None:
    process = supervised.hold_services()
    family = supervised.family()
    process.kill()
    _, alive = psutil.wait_procs(family, PATIENCE_S)
    assert alive == []


def test_a_number_that_another_program_got_does_not_stop_the_start(supervised: Supervised) -> None:
    """As after a reboot: PostgreSQL's mark names a living process that is none of ours."""
    assert supervised.start("run", "true").wait(PATIENCE_S) == 0
    mark = supervised.var / "postgres" / "data" / "postmaster.pid"
    mark.write_text(f"{os.getpid()}\n{mark.parent}\n")
    (supervised.var / "run" / "redis.json").write_text(json.dumps({"pid": os.getpid(), "created": 1.0}))
    assert supervised.start("run", "true").wait(PATIENCE_S) == 0


def test_a_second_supervisor_says_so_in_one_line(supervised: Supervised) -> None:
    first = supervised.hold_services()
    _, errors = supervised.start("serve").communicate(timeout=PATIENCE_S)
    (line,) = errors.splitlines()
    assert "already running" in line and str(first.pid) in line
    answer = [
        sys.executable,
        "-c",
        "from annotate.settings import DATABASES as d; print(d['default']['NAME'])",
    ]
    joined, _ = supervised.start("run", *answer).communicate(timeout=PATIENCE_S)
    assert joined == "anyid\n"


def test_it_works_below_a_long_path(tmp_path: Path) -> None:
    """A Unix socket's path holds about a hundred bytes; a folder's may be much longer."""
    site = Supervised(tmp_path / ("a-long-name-" * 10) / "var")
    try:
        process = site.hold_services()
        assert not socket_folder(site.var / "postgres", POSTGRES_SOCKET).is_relative_to(site.var)
        process.terminate()
        assert process.wait(PATIENCE_S) == 130
    finally:
        for folder, name in (("postgres", POSTGRES_SOCKET), ("redis", "redis.sock")):
            shutil.rmtree(socket_folder(site.var / folder, name), ignore_errors=True)


@pytest.mark.slow
def test_the_whole_site_starts_heals_and_stops(supervised: Supervised) -> None:
    process = supervised.start("serve")
    assert process.stdout is not None
    for line in process.stdout:
        if "ready at" in line:
            break
    address = f"http://127.0.0.1:{supervised.port}/healthz"
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    records = supervised.var / "run"
    assert {path.stem for path in records.iterdir()} == {
        "postgres",
        "redis",
        "web",
        "worker",
        "gpu-worker",
        "beat",
    }

    beat = json.loads((records / "beat.json").read_text())
    os.kill(beat["pid"], signal.SIGKILL)
    wait_for(
        lambda: json.loads((records / "beat.json").read_text() or "{}") not in ({}, beat), "another beat"
    )

    family = supervised.family()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert "beat ended (killed by SIGKILL); starting it again in 1 s" in output
    assert [child for child in family if child.is_running()] == []
    assert (supervised.var / "secret").stat().st_mode & 0o777 == 0o600


def test_a_crash_is_answered_with_longer_and_longer_pauses(tmp_path: Path) -> None:
    child = Child(Command("crash", ["sh", "-c", "echo no luck; exit 3"]), tmp_path, is_quiet=True)
    news = []
    for _ in range(7):
        child.start()
        wait_for(lambda: not child.is_running, "the crash")
        news.append(child.keep_alive().rpartition(" in ")[2])
    assert news == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s"]
    assert "no luck" in child.last_lines()
    assert child.keep_alive() == ""


def test_stopping_ends_the_whole_group(tmp_path: Path) -> None:
    """Also a grandchild, and also one that will not listen."""
    script = "trap '' TERM; sleep 600 & echo $!; wait; wait"
    child = Child(Command("stubborn", ["sh", "-c", script], patience_s=0.1), tmp_path, is_quiet=True)
    child.start()
    wait_for(lambda: "\n" in child.log.read_text() if child.log.exists() else False, "the grandchild")
    grandchild = psutil.Process(int(child.last_lines()))
    child.stop()
    psutil.wait_procs([grandchild], PATIENCE_S)
    assert not grandchild.is_running()
    assert not child.record.exists()


def test_leftovers_are_ended_but_never_somebody_else(tmp_path: Path) -> None:
    ours, other = (subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2))
    try:
        (tmp_path / "run").mkdir()
        created = psutil.Process(ours.pid).create_time()
        (tmp_path / "run" / "ours.json").write_text(json.dumps({"pid": ours.pid, "created": created}))
        (tmp_path / "run" / "other.json").write_text(json.dumps({"pid": other.pid, "created": created - 100}))
        (tmp_path / "run" / "torn.json").write_text('{"pid": 1')
        found = stop_leftovers(tmp_path, [Command(name, []) for name in ("ours", "other", "torn", "absent")])
        assert found == ["ours"]
        assert ours.wait(PATIENCE_S) is not None
        assert other.poll() is None
        assert list((tmp_path / "run").iterdir()) == []
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
