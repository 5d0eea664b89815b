"""A storage that fails says so in one line with its address and the remedy, and loses nothing."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest

from annotate.storage.address import BucketAddress, FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import AlteredError, Storage, StorageError
from annotate.storage.staging import stage_down
from tests.object_store import CREDENTIALS, ObjectStore

CONTENT = b"a clip that is longer than its half" * 1000


def said(ask: Callable[[], object], name: str) -> str:
    """The one line of the error that `ask` ends with."""
    with pytest.raises(StorageError) as found:
        ask()
    (line,) = str(found.value).splitlines()
    assert line.startswith(name) and CREDENTIALS["secret_access_key"] not in line
    return line


def bucket(address: BucketAddress, tmp_path: Path, **credentials: str) -> BucketStorage:
    return BucketStorage(address, CREDENTIALS | credentials, LocalCache(tmp_path / "cache", 10**9))


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address of a server that answers every request in one way."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)
            self.close_connection = True

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *rest: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def answer_with(status: int, code: str = "") -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"<Error><Code>{code}</Code><Message>no\nmore</Message></Error>".encode() if code else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize("wrong", [{"secret_access_key": "guessed"}, {"access_key_id": "nobody"}])
def test_refused_credentials(object_store: ObjectStore, tmp_path: Path, wrong: dict[str, str]) -> None:
    address = object_store.address()
    bucket(address, tmp_path).put("kept", CONTENT)
    refused = bucket(address, tmp_path, **wrong)
    for ask in (
        lambda: refused.put("kept", b"lost"),
        lambda: refused.size("kept"),
        lambda: refused.stream("kept"),
        lambda: list(refused.list()),
        lambda: refused.remove(["kept"]),
    ):
        line = said(ask, str(address))
        assert "the credentials were refused: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in line
    assert b"".join(bucket(address, tmp_path).stream("kept")) == CONTENT


def test_an_endpoint_where_nobody_listens(tmp_path: Path) -> None:
    with server(answer_with(200)) as endpoint:
        address = BucketAddress(bucket="clips", endpoint=endpoint, style="path", timeout_s=1)
    line = said(lambda: bucket(address, tmp_path).put("a", CONTENT), "s3://clips")
    assert line.endswith("cannot be reached: look whether it runs, and at endpoint= in the address")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "QuotaExceeded", "the bucket is full: free some space or raise its quota"),
        (507, "XMinioStorageFull", "the server's disks are full: free some space"),
        (404, "NoSuchBucket", "there is no such bucket: make it, or correct the address"),
        (403, "AccessDenied", "that they may list, read, write and remove in this bucket (AccessDenied)"),
        (400, "InvalidStorageClass", "the server answered InvalidStorageClass: look at its log"),
        (418, "", "the server answered 418: look at its log"),
    ],
)
def test_what_the_server_says(tmp_path: Path, status: int, code: str, expected: str) -> None:
    with server(answer_with(status, code)) as endpoint:
        address = BucketAddress(bucket="clips", endpoint=endpoint, style="path", timeout_s=5)
        assert expected in said(lambda: bucket(address, tmp_path).put("a", CONTENT), "s3://clips")


def test_a_server_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answer_with(503 if len(asked) < 3 else 200)(request)

    with server(answer) as endpoint:
        address = BucketAddress(bucket="clips", endpoint=endpoint, style="path", timeout_s=5)
        assert bucket(address, tmp_path).size("a") == 0
    assert len(asked) == 3


@pytest.mark.slow
def test_a_server_that_does_not_answer_in_time(tmp_path: Path) -> None:
    with server(lambda request: time.sleep(3)) as endpoint:
        address = BucketAddress(bucket="clips", endpoint=endpoint, style="path", timeout_s=1)
        storage = BucketStorage(address, CREDENTIALS, LocalCache(tmp_path, 10**9), max_retries=0)
        line = said(lambda: storage.size("a"), "s3://clips")
    assert "takes too long to answer" in line and "raise timeout=" in line


def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    """Half of the bytes that were announced; the object is not taken for whole."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.send_header("Last-Modified", "Sun, 29 Nov 2026 12:00:00 GMT")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(CONTENT[: len(CONTENT) // 2])

    with server(answer) as endpoint:
        address = BucketAddress(bucket="clips", endpoint=endpoint, style="path", timeout_s=2)
        storage = BucketStorage(address, CREDENTIALS, LocalCache(tmp_path / "cache", 10**9), max_retries=0)
        line = said(lambda: b"".join(storage.stream("a")), "s3://clips")
        with pytest.raises(StorageError), storage.local("a"):
            pass
    assert "look at the network" in line
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def alter(storage: Storage, key: str, content: bytes) -> None:
    """Give an object other bytes behind the storage's back; what was kept of its hash stays."""
    if isinstance(storage, FolderStorage):
        (storage.root / key).write_bytes(content)
        return
    kept = {"sha256": storage.sha256(key)}
    obstore.put(storage._store, key, content, attributes=kept)


@pytest.mark.parametrize(
    "other", [CONTENT[:100], b"b" + CONTENT[1:], b""], ids=["truncated", "altered", "empty"]
)
def test_an_altered_object_is_found_by_its_hash(storage: Storage, other: bytes) -> None:
    expected = storage.put("clip.mp4", CONTENT)
    alter(storage, "clip.mp4", other)
    with pytest.raises(AlteredError) as found, storage.local("clip.mp4", expected):
        pass
    assert "clip.mp4 has sha256" in str(found.value) and "make it again" in str(found.value)
    storage.put("clip.mp4", CONTENT)
    with storage.local("clip.mp4", expected) as place:
        assert place.read_bytes() == CONTENT


def test_an_altered_object_is_not_staged(object_store: ObjectStore, tmp_path: Path) -> None:
    storage = object_store.storage(tmp_path / "cache")
    storage.put("runs/1/adapter.safetensors", CONTENT)
    alter(storage, "runs/1/adapter.safetensors", CONTENT[:100])
    with pytest.raises(AlteredError):
        stage_down(storage, "runs/1", tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "it is full: free some space"),
        (errno.EACCES, "change the owner of the folder"),
        (errno.EIO, "look at the disk and its mount"),
    ],
)
def test_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: str
) -> None:
    storage = FolderStorage(FolderAddress(tmp_path))
    storage.put("a", CONTENT)

    def fail(*args: object) -> None:
        raise OSError(number, "it fails")

    monkeypatch.setattr("os.fsync", fail)
    assert expected in said(lambda: storage.put("a", b"lost"), tmp_path.as_uri())
    monkeypatch.undo()
    assert b"".join(storage.stream("a")) == CONTENT and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_bucket_that_is_none(object_store: ObjectStore, tmp_path: Path) -> None:
    """Its name breaks the rules for names of buckets."""
    address = replace(object_store.address(), bucket="b")
    assert "correct the address" in said(lambda: bucket(address, tmp_path).put("a", b"x"), "s3://b")
    assert sha256(CONTENT).hexdigest() == bucket(object_store.address(), tmp_path).put("a", CONTENT)
