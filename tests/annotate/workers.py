"""Workers as processes of their own, with clocks and databases that are not what they should be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

#: Goes on until it is stopped, a line of metrics every tenth of a second, then ends well after `lines` lines.
SLOW_COMMAND = """
import os, sys, time, threading
from generator.rundir import RunDir, run_command

def main(run, attached):
    with run.open(attached=attached) as request:
        for number in range(len(run.read_metrics()), request["lines"]):
            run.append_metrics({"line": number, "process": os.getpid()})
            time.sleep(0.1)
        run.write_result({"samples": [], "failed": []})

sys.exit(run_command(main, sys.argv[1:]))
"""


def database_url(**options: str) -> str:
    database = connection.settings_dict
    query = "".join(f"&{name}={value}" for name, value in options.items())
    return f"postgresql://{database['USER']}@localhost/{database['NAME']}?host={database['HOST']}{query}"


def start_python(script: str, *arguments: object, url: str = "", **values: str) -> subprocess.Popen[bytes]:
    """A script with the settings of production, on the database of the tests or on another one."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "annotate.settings",
        "DATABASE_URL": url or database_url(),
        "SECRET_KEY": "only for tests, where nothing is signed",
        "STORAGE_URL": settings.STORAGE_ROOT.as_uri(),
        "VAR_DIR": str(settings.VAR_DIR),
        **values,
    }
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"two minutes passed without: {what}")
