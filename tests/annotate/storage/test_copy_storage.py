"""manage.py copy_storage: everything once, by its hash, however often it is started."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotate.storage.address import BucketAddress
from annotate.storage.opening import open_storage
from tests.object_store import CREDENTIALS, ObjectStore

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    "references/3f/media.mp4": b"a clip" * 100,
    "runs/round-1/dpo-1/result.json": b"{}",
    "exports/round-1/a b & straße %.jsonl": b"line\n" * 1000,
    "empty": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        place = tmp_path / "storage" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (tmp_path / "storage" / "references" / ".half.mp4").write_bytes(b"half")
    return tmp_path / "storage"


@pytest.fixture
def bucket(object_store: ObjectStore, settings: Any) -> BucketAddress:
    settings.STORAGE_CREDENTIALS = CREDENTIALS
    return object_store.address()


def text(address: BucketAddress) -> str:
    return f"{address}?endpoint={address.endpoint}&timeout={address.timeout_s}"


def copy(source: str, target: str) -> dict[str, Any]:
    said = io.StringIO()
    call_command("copy_storage", source, target, "--json", stdout=said)
    return dict(json.loads(said.getvalue()))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_goes_into_a_bucket_and_back(folder: Path, bucket: BucketAddress, tmp_path: Path) -> None:
    size = sum(map(len, FILES.values()))
    first = copy(folder.as_uri(), text(bucket))
    assert (first["from"], first["to"]) == (folder.as_uri(), str(bucket))
    assert (first["copied"], first["copied_bytes"], first["there_already"]) == (len(FILES), size, 0)
    second = copy(folder.as_uri(), text(bucket))
    assert (second["copied"], second["there_already"], second["there_already_bytes"]) == (0, len(FILES), size)
    copy(text(bucket), (tmp_path / "back").as_uri())
    assert contents(tmp_path / "back") == FILES


def test_what_differs_is_copied_again_and_nothing_is_removed(folder: Path, bucket: BucketAddress) -> None:
    copy(folder.as_uri(), text(bucket))
    (folder / "runs/round-1/dpo-1/result.json").write_bytes(b"[]")
    (folder / "empty").unlink()
    assert copy(folder.as_uri(), text(bucket))["copied"] == 1
    storage = open_storage(bucket)
    assert b"".join(storage.stream("runs/round-1/dpo-1/result.json")) == b"[]" and storage.exists("empty")


@pytest.mark.parametrize(
    ("source", "target", "remedy"),
    [
        ("file:///nowhere/at/all", "file:///nowhere/at/all", "name two storages"),
        ("file:///nowhere/at/all", "file:///nowhere/else", "holds no file"),
        ("s3://key:hunter2@bucket", "file:///srv", "AWS_SECRET_ACCESS_KEY"),
        ("/srv/anyid", "s3://bucket", "write it like file:///srv/anyid"),
        ("file:///nowhere/at/all", "s3://bucket?secret=hunter2", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_addresses_end_in_one_line(source: str, target: str, remedy: str) -> None:
    with pytest.raises(CommandError) as found:
        copy(source, target)
    assert remedy in str(found.value) and "hunter2" not in str(found.value)


def test_refused_credentials_end_in_one_line(folder: Path, bucket: BucketAddress, settings: Any) -> None:
    settings.STORAGE_CREDENTIALS = CREDENTIALS | {"secret_access_key": "guessed"}
    with pytest.raises(CommandError, match="the credentials were refused"):
        copy(folder.as_uri(), text(bucket))


def test_a_copy_that_is_killed_goes_on(folder: Path, bucket: BucketAddress, tmp_path: Path) -> None:
    for number in range(300):
        (folder / f"clip-{number}.mp4").write_bytes(bytes([number % 256]) * 100_000)
    (folder / "references" / ".half.mp4").unlink()
    storage = open_storage(bucket)
    argv = [sys.executable, "manage.py", "copy_storage", folder.as_uri(), text(bucket)]
    environment = os.environ | {
        "VAR_DIR": str(tmp_path / "var"),
        "AWS_ACCESS_KEY_ID": CREDENTIALS["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret_access_key"],
        "DJANGO_SETTINGS_MODULE": "annotate.settings",
    }
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(storage.list())) < 20:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still at work"
    there = {item.key for item in storage.list()}
    assert 20 <= len(there) < 300
    whole = contents(folder)
    assert all(b"".join(storage.stream(key)) == whole[key] for key in there), "what is there is whole"
    rest = copy(folder.as_uri(), text(bucket))
    assert rest["there_already"] >= len(there) and rest["copied"] + rest["there_already"] == len(whole)
    assert {item.key: storage.sha256(item.key) for item in storage.list()}.keys() == whole.keys()
