"""The web's process: gunicorn keeps it running, waitress serves.

Waitress reads whole requests, and sends answers, in one loop for all connections; its threads are busy only
while Django is. However many clients are slow, a thread is free.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from gunicorn.workers.base import Worker
from waitress.server import create_server

from annotate import settings

#: Connections of one process, as many as it may have open files for.
MAX_CONNECTIONS = 4_000
#: Files beside connections: the database, clips that are being sent, logs.
OTHER_FILES = 512
#: A connection on which nothing moves, in either direction, is closed after so long.
IDLE_S = 60
MAX_HEADER_BYTES = 65_536
#: What is sent while it is made, such as an archive, waits for its reader from here on.
MAX_WAITING_BYTES = 4_194_304

#: What the kernel keeps of an answer. Left alone it grows to megabytes for each reader, however slow, and as
#: much is read from a file for each step of theirs.
MAX_SENT_BYTES = 131_072

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class SlowClientsWorker(Worker):
    """A gunicorn worker whose connections are waitress's."""

    server: Any = None

    def run(self) -> None:
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each request that waits
        connections: dict[int, Any] = {}
        for listener in self.sockets:
            listener.setsockopt(SOL_SOCKET, SO_SNDBUF, MAX_SENT_BYTES)  # which connections inherit
        self.server = create_server(
            self._application(self.wsgi),
            map=connections,
            sockets=[listener.sock for listener in self.sockets],
            threads=self.cfg.threads,
            connection_limit=_raise_file_limit(),
            channel_timeout=IDLE_S,
            max_request_header_size=MAX_HEADER_BYTES,
            # One more, since Django refuses with a page of ours what is just too large.
            max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1,
            outbuf_high_watermark=MAX_WAITING_BYTES,
            # These headers are Django's and ours to judge, below.
            clear_untrusted_proxy_headers=False,
            asyncore_use_poll=True,
            ident=None,
        )
        while self.alive and self.ppid == os.getppid():
            self._turn(connections)
        self.server.accepting = False
        deadline = time.monotonic() + self.cfg.graceful_timeout - 2
        while any(map(_is_busy, connections.values())) and time.monotonic() < deadline:
            self._turn(connections)
        self.server.task_dispatcher.shutdown(timeout=1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        if self.server is not None:
            self.server.pull_trigger()  # it may be waiting for a client

    def _turn(self, connections: dict[int, Any]) -> None:
        self.notify()
        self.server.asyncore.loop(timeout=1, map=connections, use_poll=True, count=1)

    def _application(self, application: Application) -> Application:
        """The site, told of TLS by a proxy that is trusted (FORWARDED_ALLOW_IPS), as gunicorn itself does."""

        def told(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if self._is_trusted(environ["REMOTE_ADDR"]) and any(
                environ.get(f"HTTP_{name.replace('-', '_')}") == value
                for name, value in self.cfg.secure_scheme_headers.items()
            ):
                environ["wsgi.url_scheme"] = "https"
            if environ["REQUEST_METHOD"] != "HEAD":
                return application(environ, start_response)
            # Django leaves it to the server to send no body, and waitress to Django.
            del environ["wsgi.file_wrapper"]
            body = application(environ, start_response)
            if close := getattr(body, "close", None):
                close()
            return []

        return told

    def _is_trusted(self, peer: str) -> bool:
        if "*" in self.cfg.forwarded_allow_ips:
            return True
        try:
            address = ip_address(peer)
        except ValueError:  # a socket of this machine
            return False
        return any(address in network for network in self.cfg.forwarded_allow_networks())


def _is_busy(connection: Any) -> bool:
    """Whether somebody waits here for the rest of an answer."""
    return bool(getattr(connection, "requests", ())) or bool(getattr(connection, "total_outbufs_len", 0))


def _raise_file_limit() -> int:
    """Be allowed as many files as connections need, if that can be; how many connections that makes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(64, min(wanted, soft) - OTHER_FILES)
