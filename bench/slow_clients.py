"""Whether slow clients stop the site: `/healthz` beside hundreds of connections that hardly move.

The web server of production on loopback, with a PostgreSQL of its own in a folder that is removed afterwards.
Four crowds come one after the other: headers that arrive a byte a second, bodies that do, clips that are read
a little a second, and parts of clips. A small one: `python -m bench.slow_clients --clients 100 --seconds 5`.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from bench.web import Site, running_site
from bench.web_rows import fill_round

CLIENTS, MAX_CLIENTS = 500, 900
SECONDS, MAX_SECONDS = 15.0, 120.0
#: Far more than the kernel keeps for a connection, so that somebody has to hold the rest.
CLIP_BYTES = 16_000_000
#: A crowd comes within so many seconds: all at once would measure how fast hundreds of requests are done.
COMES_S = 10.0
#: Seconds between two looks at the site.
PROBE_S = 0.1


@dataclass
class Crowd:
    """Connections that move a byte, or read a little, once a second."""

    request: bytes
    reads: bool
    connections: list[socket.socket] = field(default_factory=list)
    closed: int = 0

    def come(self, port: int, count: int) -> None:
        """Connect all, and send the beginning."""
        for _ in range(count):
            connection = socket.socket()
            if self.reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(5)
            connection.connect(("127.0.0.1", port))
            connection.sendall(self.request)
            connection.setblocking(False)
            self.connections.append(connection)
            time.sleep(COMES_S / count)

    def move(self) -> None:
        """One second's progress of all."""
        for connection in self.connections[:]:
            try:
                if (connection.recv(512) if self.reads else connection.send(b"a")) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                self.closed += 1
                self.connections.remove(connection)
                connection.close()

    def leave(self) -> None:
        """Close all."""
        while self.connections:
            self.connections.pop().close()


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/slow_clients.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"of each crowd, at most {MAX_CLIENTS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each crowd")
    options = parser.parse_args(list(arguments))
    clients, seconds = min(options.clients, MAX_CLIENTS), min(options.seconds, MAX_SECONDS)
    from bench.timing import report

    with running_site() as site:
        token, sample = _clip(site)
        rows = [_measure(site, "nobody", None, 0, seconds)]
        for name, crowd in _crowds(token, sample).items():
            rows.append(_measure(site, name, crowd, clients, seconds))
    report("slow_clients", rows, load_average=os.getloadavg(), cores=os.cpu_count())


def _crowds(token: str, sample: int) -> dict[str, Crowd]:
    host = b"Host: 127.0.0.1\r\n"
    media = b"GET /media/samples/%d HTTP/1.1\r\n%sAuthorization: Token %s\r\n" % (
        sample,
        host,
        token.encode(),
    )
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\nusername="
    return {
        "headers": Crowd(b"GET / HTTP/1.1\r\n" + host + b"X-Slow: ", reads=False),
        "bodies": Crowd(b"POST /login/ HTTP/1.1\r\n" + host + form, reads=False),
        "readers": Crowd(media + b"\r\n", reads=True),
        "readers of a part": Crowd(media + b"Range: bytes=1000-\r\n\r\n", reads=True),
    }


def _clip(site: Site) -> tuple[str, int]:
    """A lead's token, and a clip that leads may look at."""
    from django.conf import settings
    from rest_framework.authtoken.models import Token

    from annotate.models import User, VideoSample

    fill_round(site.database, "slow", 1)
    lead = User.objects.create(username="lead", role=User.Role.LEAD)
    sample = VideoSample.objects.order_by("pk")[0]
    VideoSample.objects.filter(pk=sample.pk).update(path="clip.mp4", sha256="0" * 64)
    place = Path(settings.STORAGE_ROOT) / "clip.mp4"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(CLIP_BYTES))
    return Token.objects.create(user=lead).key, sample.pk


def _measure(site: Site, name: str, crowd: Crowd | None, clients: int, seconds: float) -> dict[str, Any]:
    times, errors = [], 0
    with _crowding(site.port, crowd, clients):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            errors += not _is_healthy(site.port)
            times.append(time.perf_counter() - began)
            time.sleep(PROBE_S)
        memory = _memory(site)
    return {
        "slow": name,
        "clients": clients,
        "closed": crowd.closed if crowd else 0,
        "asked": len(times),
        "p50_ms": 1000 * sorted(times)[len(times) // 2],
        "worst_ms": 1000 * max(times),
        "errors": errors,
        "web_mib": memory / 2**20,
    }


@contextmanager
def _crowding(port: int, crowd: Crowd | None, clients: int) -> Iterator[None]:
    """The crowd is there, and moves, while the block runs."""
    if crowd is None:
        yield
        return
    is_over = threading.Event()
    crowd.come(port, clients)

    def keep_moving() -> None:
        while not is_over.wait(1):
            crowd.move()

    thread = threading.Thread(target=keep_moving)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        crowd.leave()
        time.sleep(1)


def _is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b"ok\n"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _memory(site: Site) -> int:
    assert site.web.process is not None
    leader = psutil.Process(site.web.process.pid)
    return sum(process.memory_info().rss for process in (leader, *leader.children(recursive=True)))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
