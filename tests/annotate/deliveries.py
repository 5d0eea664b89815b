"""What a browser receives of a response of the site, in each way that clips can come."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import requests
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from annotate.core.files import INTERNAL
from annotate.models import InstanceReference, Reference, VideoSample
from annotate.storage.folder import FolderAddress, FolderStorage
from annotate.storage.opening import site_storage
from tests.object_store import free_ports

NGINX = shutil.which("nginx", path=os.defpath + os.pathsep + "/usr/sbin:/usr/local/sbin")
#: What docs/operating.md tells operators to write into the configuration of nginx.
OPERATING = Path(__file__).resolve().parents[2] / "docs" / "operating.md"


class Delivery(Protocol):
    """One way: it may only begin after the clips of a test are there."""

    def begin(self) -> None: ...

    def received(self, response: HttpResponseBase, byte_range: str) -> Iterator[HttpResponseBase]:
        """Everything that the browser receives for one request, the bytes last."""


class ByWeb:
    """From the site itself."""

    def begin(self) -> None:
        clips_into_site_storage()

    def received(self, response: HttpResponseBase, byte_range: str) -> Iterator[HttpResponseBase]:
        yield response


class ByRedirect(ByWeb):
    """From the bucket, at the address that the site sends the browser to."""

    def received(self, response: HttpResponseBase, byte_range: str) -> Iterator[HttpResponseBase]:
        yield response
        if response.status_code == 302:
            yield _fetched(response.headers["Location"], byte_range)


class ByProxy(ByWeb):
    """From nginx, which gets the site's own answer and sends what it names."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def received(self, response: HttpResponseBase, byte_range: str) -> Iterator[HttpResponseBase]:
        if "X-Accel-Redirect" in response.headers:
            self.relay.answer = response
            response = _fetched(f"{self.relay.address}/media", byte_range)
        yield response


def clips_into_site_storage() -> None:
    """Tests draw their clips into a folder; a site with a bucket needs those of this test there."""
    if FolderAddress(settings.STORAGE_ROOT) == settings.STORAGE:
        return
    drawn, target = FolderStorage(FolderAddress(settings.STORAGE_ROOT)), site_storage()
    for path in filter(drawn.exists, _shown_paths()):
        with drawn.local(path) as clip:
            target.put(path, clip)


def _shown_paths() -> set[str]:
    """Every file that an annotator may be shown, by the rows of this test."""
    samples = VideoSample.objects.values_list("path", "shown_path")
    references = Reference.objects.values_list("path", "poster")
    places = InstanceReference.objects.values_list("path", "poster")
    return {path for row in (*samples, *references, *places) for path in row if path}


def _fetched(address: str, byte_range: str) -> HttpResponse:
    found = requests.get(address, headers={"Range": byte_range} if byte_range else {}, timeout=20)
    headers = {name: value for name, value in found.headers.items() if name != "Connection"}
    return HttpResponse(found.content, status=found.status_code, headers=headers)


class Relay:
    """nginx before a server that repeats an answer of the site."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answer: HttpResponseBase = HttpResponse()


@contextmanager
def nginx(folder: Path, origin: str) -> Iterator[Relay]:
    """A real nginx, configured as the documentation says.

    Args:
        folder: for its files.
        origin: of the bucket, or empty for a folder.
    """
    assert NGINX is not None
    (port,) = free_ports(1)
    relay = Relay(f"http://127.0.0.1:{port}")
    site = _repeating(relay)
    (folder / "nginx.conf").write_text(_configuration(folder, port, site.server_port, origin))
    log = open(folder / "log", "ab")  # noqa: SIM115 - closed below
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not _answers(relay.address):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield relay
    finally:
        process.terminate()
        process.wait()
        site.shutdown()
        site.server_close()
        log.close()


def _answers(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=1))
    except requests.ConnectionError:
        return False


def _repeating(relay: Relay) -> ThreadingHTTPServer:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(relay.answer.status_code)
            for name, value in relay.answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *rest: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    return server


def _configuration(folder: Path, port: int, site_port: int, origin: str) -> str:
    """The location of the documentation, in a server that needs no rights."""
    title = "bucket" if origin else "folder"
    text = OPERATING.read_text(encoding="utf-8")
    (block,) = (part for part in text.split("```") if part.startswith(f'nginx title="{title}"\n'))
    location = block.partition("\n")[2]
    assert f"location {INTERNAL} {{" in location
    location = location.replace("/srv/anyid/", f"{settings.STORAGE_ROOT}/")
    location = location.replace("https://s3.example.org", origin or "https://s3.example.org")
    kept = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Started as root, it would give up the right to read the folders of the tests.
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{}}
http {{
access_log off; server_tokens off;
{kept}
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{site_port}; }}
{location}
}}
}}
"""
