"""A wrong setting ends the start in one line that names it; secrets are never printed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core import checks
from django.test import Client
from pytest_django import Settings

from annotate.apps import check_model, check_site, check_storage
from annotate.core.environment import (
    Environment,
    SettingError,
    cache_from_broker,
    database_from_url,
    without_password,
)
from annotate.core.sockets import LONGEST_SOCKET_PATH, POSTGRES_SOCKET, socket_folder
from annotate.jobs import tasks
from annotate.settings import env
from annotate.storage.address import FolderAddress
from tests.annotate.copies import ended

# Most of them begin a process, which reads the settings as a site does.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Started:
    returncode: int
    stdout: str
    stderr: str


def start(folder: Path, expression: str = "0", **values: str) -> Started:
    """Load the real settings in a copy of this process that has read none of them; print one expression."""
    code = f"from annotate import settings as s; print({expression})"
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(folder / "var"), **values}
    out, err = folder / "stdout", folder / "stderr"

    def work() -> None:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for name in [name for name in sys.modules if name.partition(".")[0] == "annotate"]:
            del sys.modules[name]
        with out.open("w") as sys.stdout, err.open("w") as sys.stderr:
            try:
                exec(code, {})
            except SystemExit as end:  # as the interpreter would
                sys.stderr.write(f"{end.code}\n")
                sys.stderr.flush()
                os._exit(1)
            finally:
                sys.stdout.flush()

    return Started(ended(work), out.read_text(), err.read_text())


def test_a_program_that_is_started_says_it_too(tmp_path: Path) -> None:
    """What the others ask of a copy, asked of a program of its own."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "VAR_DIR": str(tmp_path / "var")}
    done = subprocess.run(
        [sys.executable, "-c", "from annotate import settings"],
        cwd=tmp_path,
        env={**environment, "PORT": "eighty"},
        capture_output=True,
        text=True,
    )
    copied = start(tmp_path, PORT="eighty")
    assert (done.returncode, done.stderr) == (copied.returncode, copied.stderr) != (0, "")


def test_every_number_and_switch_can_be_set(tmp_path: Path) -> None:
    plain = [row for row in env.declared if row.default.isdigit() and not row.is_computed]
    done = start(tmp_path, "'started'", **{row.name: row.default for row in plain})
    assert (len(plain) > 15, done.stdout.strip()) == (True, "started"), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eighty", "whole number from 1 to 65535"),
        ("PORT", "70000", "whole number from 1 to 65535"),
        ("LEASE_S", "-5", "whole number from 30"),
        ("DEBUG", "maybe", "use 1 or 0"),
        ("MAX_PAIRS_A_PERSON", "5", "is called MAX_PAIRS_PER_ANNOTATOR now"),
        ("LOG_LEVEL", "LOUD", "use one of DEBUG, INFO"),
        ("DATABASE_URL", "mysql://root:hunter2@host/anyid", "postgresql://user:password@host"),
        ("DATABASE_URL", "postgresql://me:hunter2@host", "names no database"),
        ("DATABASE_URL", "postgresql://me:hunter2@host:port/anyid", "cannot be used"),
        ("CELERY_BROKER_URL", "mysql://me:hunter2@host", "rediss://host:6379/0"),
        ("STORAGE_URL", "/srv/anyid", "file:///srv/anyid"),
        ("MEDIA_DELIVERY", "redirect", "needs a bucket"),
        ("FACE_DETECTOR", "eyes", "use one of haar, yunet"),
        ("FACE_DETECTOR", "yunet", "DETECTOR_MODELS is not set"),
        ("CURATION_FRAMES", "0", "whole number from 1"),
        ("THRESHOLDS", "min_face=64", "not one of min_frames"),
        ("THRESHOLDS", "min_face_px=large", "write it like min_face_px=48"),
        ("THRESHOLDS", "max_faces=1.5", "write it like max_faces=1"),
        ("THRESHOLDS", "max_yaw=200", "max_yaw is 200.0; it must be in [0, 180]"),
        ("SITE_URL", "example.org", "https://annotate.example.org"),
        ("SITE_URL", "https://example.org/annotate", "bare address"),
        ("CSRF_TRUSTED_ORIGINS", "example.org", "https://example.org"),
        ("SECRET_KEY", "hunter2", "32 or more"),
        ("SECRET_KEY_FILE", "/nowhere/key", "readable file"),
    ],
)
def test_it_stops_a_wrong_start_in_one_line(tmp_path: Path, name: str, value: str, words: str) -> None:
    done = start(tmp_path, **{name: value})
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(name)
    assert words in line
    assert "hunter2" not in line


def test_it_wants_one_secret_for_all_machines(tmp_path: Path) -> None:
    url = "postgresql://me@host/anyid"
    assert "SECRET_KEY is not set" in start(tmp_path, DATABASE_URL=url).stderr
    key = "k" * 32
    assert start(tmp_path, "s.SECRET_KEY", DATABASE_URL=url, SECRET_KEY=key).stdout.strip() == key


def test_it_reads_secrets_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file, and long enough for it\n")
    done = start(tmp_path, "s.SECRET_KEY", SECRET_KEY_FILE=str(tmp_path / "key"))
    assert done.stdout == "from a file, and long enough for it\n"
    assert (
        "keep one of them"
        in start(tmp_path, SECRET_KEY_FILE=str(tmp_path / "key"), SECRET_KEY="x" * 40).stderr
    )


def test_commands_that_compute_are_given_no_secret_and_threads_that_sleep(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@host/anyid"
    given = {"DATABASE_URL": url, "SECRET_KEY": "hunter2" * 5, "HF_HOME": "/models"}
    given |= {"AWS_ACCESS_KEY_ID": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    shown = "'hunter2' in str(s.RUN_ENVIRONMENT), *map(s.RUN_ENVIRONMENT.get, ('HF_HOME', 'OMP_WAIT_POLICY'))"
    assert start(tmp_path, shown, **given).stdout.strip() == "False /models PASSIVE"
    chosen = start(tmp_path, "s.RUN_ENVIRONMENT['OMP_WAIT_POLICY']", OMP_WAIT_POLICY="ACTIVE")
    assert chosen.stdout.strip() == "ACTIVE"


def test_it_keeps_the_embedded_secret(tmp_path: Path) -> None:
    assert start(tmp_path, "s.SECRET_KEY").stdout != start(tmp_path, "s.SECRET_KEY").stdout
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secret").write_text("made once by the supervisor")
    assert start(tmp_path, "s.SECRET_KEY").stdout.strip() == "made once by the supervisor"


def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = start(tmp_path, VAR_DIR=str(tmp_path / "file" / "var"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"VAR_DIR='{tmp_path}/file/var' cannot be used (Not a directory)")


def test_it_embeds_what_is_not_named(tmp_path: Path) -> None:
    embedded = "s.EMBEDDED_POSTGRES, s.EMBEDDED_REDIS"
    assert start(tmp_path, embedded).stdout.strip() == "True True"
    other = start(tmp_path, embedded, CELERY_BROKER_URL="redis://queue:6379/1", DATABASE_URL="")
    assert other.stdout.strip() == "True False"
    cache = start(tmp_path, "s.CACHES['default']['LOCATION']", CELERY_BROKER_URL="redis://queue:6379/1")
    assert cache.stdout.strip() == "redis://queue:6379/1"


def test_https_turns_on_secure_cookies(tmp_path: Path) -> None:
    shown = "s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS > 0, s.ALLOWED_HOSTS[0]"
    assert start(tmp_path, shown).stdout.strip() == "False False False 127.0.0.1"
    secure = start(tmp_path, shown, SITE_URL="https://annotate.example.org")
    assert secure.stdout.strip() == "True True True annotate.example.org"


def test_it_describes_a_database() -> None:
    found = database_from_url("DATABASE_URL", "postgresql://me:p%40ss@host:5433/any%20id?sslmode=require")
    assert found | {"OPTIONS": {"sslmode": "require"}} == found
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"]) == ("me", "p@ss", "host", "5433")
    assert found["NAME"] == "any id"
    socket = database_from_url("DATABASE_URL", "postgresql://postgres@/anyid?host=/run/pg")
    assert (socket["HOST"], socket["OPTIONS"]) == ("/run/pg", {})


def test_it_translates_addresses() -> None:
    assert cache_from_broker("redis+socket:///var/redis.sock") == "unix:///var/redis.sock?db=0"
    assert without_password("redis://me:secret@host:1/0") == "redis://***@host:1/0"
    assert without_password("redis://host:1/0") == "redis://host:1/0"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_it_reads_switches(value: str) -> None:
    assert Environment({"DEBUG": value}).flag("DEBUG", "")
    assert not Environment({"DEBUG": ""}).flag("DEBUG", "")


def test_it_refuses_signs_and_spaces_in_numbers() -> None:
    for value in ("+5", "5.0", "5 0", "٥"):
        with pytest.raises(SettingError):
            Environment({"N": value}).integer("N", 5, "", low=1, high=9)


def test_sockets_move_to_a_short_place_when_the_path_is_long() -> None:
    short, long = Path("/srv/anyid/var/postgres"), Path("/srv") / ("x" * 120) / "postgres"
    assert socket_folder(short, POSTGRES_SOCKET) == short
    moved = socket_folder(long, POSTGRES_SOCKET)
    assert moved == socket_folder(long, POSTGRES_SOCKET) != socket_folder(long / "2", POSTGRES_SOCKET)
    assert len(bytes(moved / POSTGRES_SOCKET)) <= LONGEST_SOCKET_PATH


def test_checks_name_the_remedy(tmp_path: Path, settings: Settings) -> None:
    settings.STORAGE = FolderAddress(tmp_path / "file")
    assert check_storage(None) == []
    (tmp_path / "file").write_text("not a folder")
    settings.MODEL_PATH = str(tmp_path)
    settings.ALLOWED_HOSTS = ["*"]
    found: list[checks.CheckMessage] = [*check_storage(None), *check_model(None), *check_site(None)]
    assert [message.id for message in found] == ["annotate.E002", "annotate.W001", "annotate.W002"]
    assert all(message.hint for message in found)
    settings.MODEL_PATH = "org/name"
    assert check_model(None) == []


@pytest.mark.django_db
def test_every_answer_forbids_inline_script(client: Client, settings: Settings) -> None:
    policy = client.get("/login/").headers["Content-Security-Policy"]
    assert policy == settings.CONTENT_SECURITY_POLICY
    assert "unsafe" not in policy


def test_tasks_sent_from_any_thread_reach_the_configured_queue() -> None:
    names: list[str] = []
    thread = threading.Thread(target=lambda: names.append(tasks.take_report.app.main))
    thread.start()
    thread.join()
    assert names == ["annotate"]
