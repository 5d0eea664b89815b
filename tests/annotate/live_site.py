"""The site's worker and GPU workers as processes of their own, with a real Redis between them.

A GPU worker has no DATABASE_URL and no SECRET_KEY, and each process has a folder of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from django.conf import settings
from kombu import Connection

from annotate.jobs import tasks
from annotate.supervisor.programs import worker
from annotate.supervisor.redis import Redis
from tests.annotate.workers import database_url

KEY = "the key of the fleet of these tests"
PATIENCE_S = 600
#: What a process is left of the environment: where programs are, and by how many threads hashes are equal.
KEPT = ("PATH", "HOME", "OMP_", "MKL_", "ATEN_")


def wait_until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class LiveSite:
    """Redis, the site's worker, and GPU workers."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.redis = folder, Redis(folder / "redis")
        self.broker = f"redis+socket://{self.redis.socket}"
        self.started: list[psutil.Process] = []
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        self.environment = kept | {
            "CELERY_BROKER_URL": self.broker,
            "FLEET_KEY": KEY,
            "LOG_LEVEL": "WARNING",
            **environment,
        }

    def start(self, name: str, argv: list[str], **values: str) -> psutil.Process:
        environment = self.environment | {"VAR_DIR": str(self.folder / name)} | values
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(argv, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log)
        self.started.append(psutil.Process(process.pid))
        return self.started[-1]

    def start_python(self, name: str, *arguments: str) -> psutil.Process:
        return self.start(name, [sys.executable, *arguments])

    def start_redis(self) -> psutil.Process:
        self.redis.prepare()
        process = self.start("redis", self.redis.command())
        wait_until(self.redis.is_ready, "Redis")
        return process

    def start_site(self) -> psutil.Process:
        """Redis, and the site's worker."""
        redis = self.start_redis()
        site = {"DATABASE_URL": database_url(), "SECRET_KEY": "only for tests, where nothing is signed"}
        self.start("site", worker("worker", "default,fleet", 1).argv, **site)
        return redis

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def send(self, task: str, queue: str, *arguments: object) -> None:
        with Connection(self.broker) as broker:
            tasks.take_report.app.send_task(task, arguments, queue=queue, connection=broker)

    def family(self) -> list[psutil.Process]:
        running = [process for process in self.started if process.is_running()]
        return [*running, *(child for process in running for child in process.children(recursive=True))]

    def end(self) -> None:
        family = self.family()
        for process in family:
            process.kill()
        psutil.wait_procs(family, PATIENCE_S)
