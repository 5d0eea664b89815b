"""The web server of production: what slow clients cannot stop, and requests of every kind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from rest_framework.authtoken.models import Token

from annotate.models import User, VideoSample
from annotate.supervisor import programs
from tests.annotate.workers import database_url, wait_until
from tests.factories import make_instance, make_model, make_sample, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: Many times as many as the server has threads.
SLOW = 120
#: Longer than a busy machine needs, and shorter than a client that sends a byte now and then holds a thread.
PATIENCE_S = 30
CONTENT = bytes(range(256)) * 40_000


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a site in production whose files are collected."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "annotate.settings",
        "SECRET_KEY": "only for tests, where nothing is signed",
        "STORAGE_URL": settings.STORAGE_ROOT.as_uri(),
        "VAR_DIR": str(tmp_path_factory.mktemp("site")),
        "SITE_URL": "https://annotate.example.org",
        "LOG_LEVEL": "WARNING",
    }
    subprocess.run([*programs.MANAGE, "collectstatic", "--no-input", "-v0"], env=environment, check=True)
    return environment


@pytest.fixture(scope="module")
def port(environment: dict[str, str], django_db_setup: None) -> Iterator[int]:
    """The web's own command on a free port, with the database of the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    command = programs.web().argv
    command[command.index("--bind") + 1] = f"127.0.0.1:{free}"
    process = subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment | {"DATABASE_URL": database_url()}
    )
    try:
        wait_until(lambda: process.poll() is not None or answers(free), "the web server")
        yield free
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthz").status == 200
    except OSError:
        return False


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": "127.0.0.1", "X-Forwarded-Proto": "https", **named})
    answer = connection.getresponse()
    answer.content = answer.read()
    connection.close()
    return answer


@pytest.fixture
def clip() -> tuple[str, str]:
    """The address of a clip, and the credentials of a lead, who may look at it."""
    sample = make_sample(make_instance(), make_model())
    VideoSample.objects.filter(pk=sample.pk).update(path="long.mp4", sha256="0" * 64)
    (settings.STORAGE_ROOT / "long.mp4").write_bytes(CONTENT)
    token = Token.objects.create(user=make_user("lea", role=User.Role.LEAD))
    return f"/media/samples/{sample.pk}", f"Token {token.key}"


def crowd(port: int, request: str) -> list[socket.socket]:
    """Clients that send so much, and then nothing more, nor read anything."""
    connections = []
    for _ in range(SLOW):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", port))
        connection.sendall(request.replace("\n", "\r\n").encode())
        connections.append(connection)
    return connections


def test_slow_clients_of_every_kind_stop_nobody(port, clip):
    address, credentials = clip
    shared = f"Host: 127.0.0.1\nX-Forwarded-Proto: https\nAuthorization: {credentials}\n"
    crowds = {
        "headers": f"GET / HTTP/1.1\n{shared}X-Slow: ",
        "bodies": f"POST /login/ HTTP/1.1\n{shared}Content-Length: 1000\n\nusername=",
        "readers": f"GET {address} HTTP/1.1\n{shared}\n",
        "readers of a part": f"GET {address} HTTP/1.1\n{shared}Range: bytes=7-\n\n",
    }
    for name, request in crowds.items():
        connections = crowd(port, request)
        assert ask(port, "GET", "/healthz").content == b"ok\n", name
        assert ask(port, "GET", address, Authorization=credentials).content == CONTENT, name
        for connection in connections:
            connection.close()


def test_clips_go_out_whole_in_part_and_by_their_headers_alone(port, clip):
    address, credentials = clip
    whole = ask(port, "GET", address, Authorization=credentials)
    assert (whole.status, whole.content) == (200, CONTENT)
    part = ask(port, "GET", address, Authorization=credentials, Range="bytes=1000-700000")
    assert (part.status, part.content) == (206, CONTENT[1000:700_001])
    for headers, length in (({}, len(CONTENT)), ({"Range": "bytes=5-9"}, 5)):
        head = ask(port, "HEAD", address, Authorization=credentials, **headers)
        assert (head.headers["Content-Length"], head.content) == (str(length), b"")
    assert ask(port, "GET", address, Authorization=credentials, Range="bytes=-0").status == 416
    assert ask(port, "GET", address).status == 404
    assert "Server" not in whole.headers


def test_one_connection_takes_one_request_after_the_other(port, clip):
    address, credentials = clip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    for method in ("HEAD", "GET", "HEAD", "GET"):
        headers = {"Authorization": credentials, "X-Forwarded-Proto": "https"}
        connection.request(method, address, headers=headers)
        answer = connection.getresponse()
        assert answer.read() == (CONTENT if method == "GET" else b"")
    connection.close()


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        head = "POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 150000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
        while connection.recv(4096):  # and the connection is closed
            pass


def test_a_body_without_a_length_is_limited_too(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 65_536 + 1):
                connection.sendall(chunk)
            answer = connection.recv(4096)
        except ConnectionError:
            return  # closed before the last chunk was taken
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")


def test_only_a_proxy_that_is_trusted_says_that_a_request_came_by_tls(port):
    assert ask(port, "GET", "/login/").status == 200
    plain = ask(port, "GET", "/login/", X_Forwarded_Proto="http")
    assert (plain.status, plain.headers["Location"]) == (301, "https://127.0.0.1/login/")


def test_a_stopped_server_finishes_what_it_began(port, clip):
    address, credentials = clip
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nAuthorization: "
        connection.sendall(f"{head}{credentials}\r\n\r\n".encode())
        start = connection.recv(1000)
        subprocess.run([sys.executable, "-c", STOP_WORKERS, str(port)], check=True)
        headers, _, received = start.partition(b"\r\n\r\n")
        while len(received) < len(CONTENT) and (part := connection.recv(65_536)):
            received += part
    assert b"200 OK" in headers and received == CONTENT


# Ends each process that serves the port as gunicorn would, which starts new ones.
STOP_WORKERS = """
import signal, sys
import psutil
for process in psutil.process_iter(["cmdline"]):
    if f"127.0.0.1:{sys.argv[1]}" in (process.info["cmdline"] or []) and not process.children():
        process.send_signal(signal.SIGTERM)
"""
