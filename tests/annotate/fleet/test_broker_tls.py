"""A broker over TLS: its certificate and its name are checked, by Celery as by the cache."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.core.environment import broker_tls

SEND = """
import json, sys
from celery import Celery
from kombu.exceptions import OperationalError
from annotate.core.environment import broker_tls
from annotate.framework import CELERY_BROKER_TRANSPORT_OPTIONS

errors = []
for url in sys.argv[1:]:
    app = Celery("x", broker=url, set_as_current=False)
    app.conf.update(
        broker_use_ssl=broker_tls(url), broker_transport_options=CELERY_BROKER_TRANSPORT_OPTIONS
    )
    try:
        app.send_task("task", queue="queue", retry=False)
    except OperationalError as error:
        errors.append(str(error))
print(json.dumps(errors))
"""


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS, with a certificate of localhost that the system does not know."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=[server, context], daemon=True).start()
        yield server.getsockname()[1], certificate


def _serve(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connection, server_side=True) as session:
                session.recv(1)
        except OSError:
            connection.close()


def errors_of(*urls: str) -> list[str]:
    """What sending a task says, for each address."""
    command = [sys.executable, "-c", SEND, *urls]
    sent = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    errors: list[str] = json.loads(sent.stdout)
    assert len(errors) == len(urls)
    return errors


def test_nobody_else_can_pose_as_the_broker(tls_server):
    port, authority = tls_server
    known = f"?ssl_ca_certs={authority}"
    stranger, misnamed = errors_of(f"rediss://localhost:{port}/0", f"rediss://127.0.0.1:{port}/0{known}")
    # In a process of its own: connections to one address are kept, whatever they know of its certificate.
    (silent,) = errors_of(f"rediss://localhost:{port}/0{known}")
    assert "CERTIFICATE_VERIFY_FAILED" in stranger
    assert "IP address mismatch" in misnamed
    assert "CERTIFICATE" not in silent, "it is accepted, and then nothing answers"


def test_what_celery_is_told():
    assert broker_tls("redis://host:6379/0") is None and broker_tls("amqp://host//") is None
    assert broker_tls("amqps://user:secret@rabbit:5671//?ssl_ca_certs=/ca.pem") == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "rabbit",
        "ca_certs": "/ca.pem",
    }
