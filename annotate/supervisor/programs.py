"""The site's own programs, in one place for the supervisor, the containers and a terminal."""

from __future__ import annotations

import signal
import sys

import urllib3

from annotate import settings
from annotate.supervisor.processes import Command, flags

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


def web() -> Command:
    # Two processes, so that one can be renewed.
    options = {
        "bind": f"{settings.BIND}:{settings.PORT}",
        "workers": "2",
        "worker-class": "annotate.supervisor.web_worker.SlowClientsWorker",
        "threads": "8",
        "timeout": "60",
        "backlog": "1024",
        "graceful-timeout": "10",
        "log-level": settings.LOG_LEVEL.lower(),
    }
    if sys.platform == "linux":
        # Heartbeats of the web's processes belong in memory, where a slow disk cannot stop them.
        options["worker-tmp-dir"] = "/dev/shm"
    # Its control socket would lie in the home folder, shared by every site of this account.
    argv = [sys.executable, "-m", "gunicorn", "annotate.wsgi", *flags(options), "--no-control-socket"]
    return Command("web", argv, is_ready=is_web_ready)


def worker(name: str, queues: str, concurrency: int) -> Command:
    options = {"queues": queues, "hostname": f"{name}@%h", "concurrency": str(concurrency)}
    argv = [*_celery("worker"), *flags(options), "--without-gossip", "--without-mingle"]
    # QUIT gives a running task a moment, then puts it back; TERM would wait for its end.
    return Command(name, argv, stop_signal=signal.SIGQUIT, patience_s=20)


def beat() -> Command:
    return Command("beat", [*_celery("beat"), "--pidfile="])


def gpu_worker() -> Command:
    """Workers for all devices, which need no database; TERM hands back what they are at."""
    return Command("gpu-worker", [sys.executable, "-m", "annotate.fleet"], patience_s=75)


def workers() -> list[Command]:
    return [worker("worker", "default,fleet", 2), gpu_worker(), beat()]


def by_name() -> dict[str, Command]:
    return {command.name: command for command in [web(), *workers()]}


def is_web_ready() -> bool:
    host = "127.0.0.1" if settings.BIND in ("0.0.0.0", "::", "") else settings.BIND
    try:
        with urllib3.HTTPConnectionPool(host, settings.PORT, timeout=10) as pool:
            return pool.request("GET", "/healthz", retries=False).status < 500
    except urllib3.exceptions.HTTPError:
        return False


def _celery(program: str) -> list[str]:
    argv = [sys.executable, "-m", "celery", "--quiet", "--app", "annotate.celery", program]
    return [*argv, "--loglevel", settings.LOG_LEVEL]
