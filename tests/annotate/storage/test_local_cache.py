"""Files of a bucket on this machine: fetched once, evicted by use, never trusted without their hash."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotate.storage.address import FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LEFT_BEHIND_S, UNUSED_NS, LocalCache
from annotate.storage.folder import FolderStorage
from tests.object_store import CREDENTIALS, ObjectStore

ROOT = Path(__file__).resolve().parents[3]


def files(cache: LocalCache) -> list[Path]:
    return sorted(cache.folder.glob("files/*/*"))


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path / "cache", 3000)


@pytest.fixture
def storage(object_store: ObjectStore, cache: LocalCache) -> BucketStorage:
    return BucketStorage(object_store.address(), CREDENTIALS, cache)


def read(storage: BucketStorage, key: str, sha256: str = "") -> bytes:
    with storage.local(key, sha256) as place:
        return place.read_bytes()


def test_a_file_is_fetched_once(
    storage: BucketStorage, cache: LocalCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = storage.put("a.mp4", b"clip")
    assert read(storage, "a.mp4") == b"clip" and [path.name for path in files(cache)] == [sha256]
    monkeypatch.setattr(storage, "_store", None)
    assert read(storage, "a.mp4", sha256) == b"clip", "whoever knows the hash asks nobody"
    assert read(storage, "the/same/elsewhere.mp4", sha256) == b"clip"


def test_the_least_recently_used_go_first(storage: BucketStorage, cache: LocalCache) -> None:
    hashes = {name: storage.put(name, name.encode() * 1000) for name in "abcd"}
    for age, name in enumerate("cba"):
        read(storage, name)
        os.utime(cache._place(hashes[name]), (time.time() - 100 + age,) * 2)
    assert len(files(cache)) == 3
    read(storage, "c", hashes["c"])
    read(storage, "d")
    assert {path.name for path in files(cache)} == {hashes[name] for name in "acd"}, "b was used longest ago"


def test_what_nobody_used_for_a_week_goes(storage: BucketStorage, cache: LocalCache) -> None:
    old, new = storage.put("old", b"old"), storage.put("new", b"new")
    read(storage, "old")
    os.utime(cache._place(old), ns=(time.time_ns() - UNUSED_NS,) * 2)
    read(storage, "new")
    assert [path.name for path in files(cache)] == [new]


def test_what_is_read_outlives_its_eviction(storage: BucketStorage, cache: LocalCache) -> None:
    storage.put("a", b"a" * 1000)
    storage.put("large", b"l" * 5000)
    with storage.local("a") as place:
        assert read(storage, "large") == b"l" * 5000, "larger than the cache, and still given"
        assert files(cache) == [] and place.read_bytes() == b"a" * 1000
    assert list(cache.making_room().iterdir()) == []


@pytest.mark.parametrize("other", [b"a" * 999, b"b" * 1000, b""])
def test_an_altered_file_is_fetched_again(storage: BucketStorage, cache: LocalCache, other: bytes) -> None:
    sha256 = storage.put("a", b"a" * 1000)
    read(storage, "a")
    (kept,) = files(cache)
    kept.chmod(0o640)
    kept.write_bytes(other)
    assert read(storage, "a", sha256) == b"a" * 1000
    (kept,) = files(cache)
    assert kept.read_bytes() == b"a" * 1000


def test_what_a_killed_process_left_in_a_folder_goes(tmp_path: Path) -> None:
    old, new = tmp_path / ".work-old", tmp_path / ".work-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - LEFT_BEHIND_S - 1,) * 2)
    with FolderStorage(FolderAddress(tmp_path)).workspace():
        assert new.exists() and not old.exists()


def test_what_a_killed_process_left_behind_goes(storage: BucketStorage, cache: LocalCache) -> None:
    old, new = (cache.making_room() / name for name in ("held-old", "held-new"))
    for folder in (old, new):
        folder.mkdir()
        (folder / "clip.mp4").write_bytes(b"half")
    os.utime(old, (time.time() - LEFT_BEHIND_S - 1,) * 2)
    storage.put("a", b"a")
    read(storage, "a")
    assert new.exists() and not old.exists()


@pytest.mark.parametrize("is_known", [False, True])
def test_what_others_evict_at_once_is_read_all_the_same(
    storage: BucketStorage, cache: LocalCache, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    storage.put("a", b"a")
    if is_known:
        read(storage, "a")
    link = os.link

    def link_and_evict(source: Path, target: Path) -> None:
        link(source, target)
        for place in files(cache):
            place.unlink()

    monkeypatch.setattr(os, "link", link_and_evict)
    assert read(storage, "a") == b"a"


READER = """
import random, sys
from pathlib import Path
from annotate.storage.address import read_address
from annotate.storage.address import FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
storage = BucketStorage(read_address(sys.argv[1]), {credentials!r}, LocalCache(Path(sys.argv[2]), 3000))
for _ in range(60):
    number = random.randrange(8)
    with storage.local(str(number)) as place:
        assert place.read_bytes() == bytes([number]) * 1000
"""


def test_several_processes_share_it(object_store: ObjectStore, cache: LocalCache) -> None:
    """They read more than fits, so that each evicts what others hold."""
    address = object_store.address()
    storage = BucketStorage(address, CREDENTIALS, cache)
    for number in range(8):
        storage.put(str(number), bytes([number]) * 1000)
    text = f"{address}?endpoint={address.endpoint}"
    argv = [sys.executable, "-c", READER.format(credentials=CREDENTIALS), text, str(cache.folder)]
    with ThreadPoolExecutor(3) as pool:
        ended = list(
            pool.map(lambda _: subprocess.run(argv, cwd=ROOT, capture_output=True, text=True), range(3))
        )
    assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * 3
    read(storage, "0")
    assert sum(path.stat().st_size for path in files(cache)) <= 3000
    assert list(cache.making_room().iterdir()) == []
