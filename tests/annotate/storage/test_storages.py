"""What every storage does, whatever keeps its objects."""

from __future__ import annotations

import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from annotate.storage.address import FolderAddress
from annotate.storage.bucket import BucketStorage
from annotate.storage.cache import LocalCache
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import AlteredError, Storage, StorageError
from annotate.storage.staging import stage_down, stage_up
from tests.object_store import CREDENTIALS, ObjectStore

#: More than the parts that a bucket takes at a time, and no whole number of them.
LARGE = bytes(range(256)) * (160 * 1024) + b"the end"


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [item.key for item in storage.list(prefix)]


@pytest.mark.parametrize("content", [b"", b"a clip", LARGE], ids=["empty", "small", "large"])
def test_what_was_put_comes_back(storage: Storage, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(content)
    for key, source in (("runs/1/a.mp4", content), ("runs/1/b.mp4", file)):
        assert storage.put(key, source) == sha256(content).hexdigest() == storage.sha256(key)
        assert storage.size(key) == len(content) and storage.exists(key)
        assert b"".join(storage.stream(key)) == content
        with storage.local(key) as place:
            assert place.read_bytes() == content and place.suffix == ".mp4"


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, None), (5, 6), (3, 3), (0, None), (4, 1_000_000)])
def test_it_gives_a_part(storage: Storage, start: int, stop: int | None) -> None:
    storage.put("clip.mp4", b"0123456789")
    assert b"".join(storage.stream("clip.mp4", start, stop)) == b"0123456789"[start:stop]


def test_what_is_not_there_is_said_at_once(storage: Storage) -> None:
    storage.put("folder/file", b"x")
    for key in ("none.mp4", "folder"):
        assert not storage.exists(key)
        for ask in (storage.size, storage.sha256, storage.stream, lambda key: storage.copy(key, "other")):
            with pytest.raises(FileNotFoundError, match=key):
                ask(key)
        with pytest.raises(FileNotFoundError, match=key), storage.local(key):
            pass


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../secret", "a/../../b", "a//b", "a/", "./a", "a\0b"])
def test_a_key_never_leads_out(storage: Storage, key: str) -> None:
    for ask in (storage.size, storage.exists, storage.stream, lambda key: storage.put(key, b"x")):
        with pytest.raises(ValueError, match="is not a path inside the storage"):
            ask(key)


def test_lists_are_by_folder_and_in_order(storage: Storage) -> None:
    for key in ("b/2", "b/1", "b/c/3", "bb/4", "a", "straße & more/ü %20.mp4", "b/.half.mp4"):
        storage.put(key, key.encode())
    assert keys(storage, "b") == ["b/1", "b/2", "b/c/3"]
    assert keys(storage) == sorted(["a", "b/1", "b/2", "b/c/3", "bb/4", "straße & more/ü %20.mp4"])
    assert keys(storage, "none") == []
    assert [item.size_bytes for item in storage.list("b/c")] == [5]


def test_removing_is_safe_to_repeat(storage: Storage) -> None:
    for key in ("a/1", "a/2", "a/b/3", "a/.half", "ab/4", "c"):
        storage.put(key, b"x")
    for _ in range(2):
        storage.remove(["a/1", "c", "never/there"])
        assert keys(storage) == ["a/2", "a/b/3", "ab/4"]
    for _ in range(2):
        storage.remove_folder("a")
        assert keys(storage) == ["ab/4"] and not storage.exists("a/.half")


def test_a_copy_has_the_same_bytes(storage: Storage) -> None:
    storage.put("a.mp4", LARGE)
    storage.copy("a.mp4", "b/c.mp4")
    assert storage.sha256("b/c.mp4") == storage.sha256("a.mp4")
    storage.remove(["a.mp4"])
    assert b"".join(storage.stream("b/c.mp4")) == LARGE


def test_other_bytes_than_announced_are_not_taken(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "truncated"
    file.write_bytes(b"half")
    for source in (file, b"half"):
        with pytest.raises(AlteredError, match="truncated or altered"):
            storage.put("a", source, sha256(b"the whole").hexdigest())
    assert keys(storage) == []


def test_what_fails_while_it_is_written_leaves_nothing(storage: Storage) -> None:
    storage.put("a.txt", b"before")
    with pytest.raises(RuntimeError), storage.writing("a.txt") as place:
        place.write_bytes(b"half of i")
        raise RuntimeError
    assert b"".join(storage.stream("a.txt")) == b"before" and keys(storage) == ["a.txt"]
    with storage.writing("a.txt") as place:
        assert place.suffix == ".txt"
        place.write_bytes(b"after")
    assert b"".join(storage.stream("a.txt")) == b"after"


def test_a_reader_sees_one_version_or_the_other(storage: Storage) -> None:
    """While it is overwritten again and again, nobody reads a mixture or nothing."""
    versions = [bytes([number]) * 300_000 for number in range(4)]
    storage.put("a", versions[0])
    ended = threading.Event()

    def overwrite() -> None:
        for number in range(24):
            storage.put("a", versions[number % 4])
        ended.set()

    writer = threading.Thread(target=overwrite)
    writer.start()
    while not ended.is_set():
        assert b"".join(storage.stream("a")) in versions
    writer.join()


def test_a_folder_goes_up_with_its_last_file_last_and_comes_down(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    (run / "samples").mkdir(parents=True)
    files = {"result.json": b"{}", "samples/1.mp4": b"one", "samples/2.mp4": b"two", "a.txt": b"a"}
    for name, content in files.items():
        (run / name).write_bytes(content)
    (run / "samples" / ".3.mp4").write_bytes(b"half")
    sent, put = [], storage.put
    monkeypatch.setattr(storage, "put", lambda key, *rest: (sent.append(key), put(key, *rest))[1])
    assert stage_up(storage, run, "runs/7", last="result.json") == len(files)
    assert sent[-1] == "runs/7/result.json" and sorted(sent) == sorted(f"runs/7/{name}" for name in files)
    (run / "a.txt").write_bytes(b"b")
    assert stage_up(storage, run, "runs/7", last="result.json") == 1, "only what has changed"
    assert stage_down(storage, "runs/7", other) == len(files)
    (other / "samples" / "1.mp4").write_bytes(b"on")
    assert stage_down(storage, "runs/7", other) == 1, "only what is not there whole"
    assert {name: (other / name).read_bytes() for name in files} == files | {"a.txt": b"b"}
    assert stage_down(storage, "runs/8", other) == 0


def test_a_folder_that_was_made_becomes_one_of_the_storage_once(storage: Storage) -> None:
    for content in (b"first", b"second"):
        with storage.workspace() as workspace:
            made = workspace / "set"
            (made / "media").mkdir(parents=True)
            (made / "media" / "a.mp4").write_bytes(content)
            (made / "manifest.json").write_bytes(b"{}")
            storage.put_folder(made, "exports/1/abc", last="manifest.json")
        assert not workspace.exists()
    assert keys(storage) == ["exports/1/abc/manifest.json", "exports/1/abc/media/a.mp4"]
    assert b"".join(storage.stream("exports/1/abc/media/a.mp4")) == b"first"


def test_a_folder_is_read_as_a_folder(storage: Storage) -> None:
    files = {"manifest.json": b"{}", "media/a.mp4": b"a", "media/b.mp4": b"b"}
    for name, content in files.items():
        storage.put(f"exports/1/{name}", content)
    with storage.local_folder("exports/1") as folder:
        assert {name: (folder / name).read_bytes() for name in files} == files
    with storage.local_folder("exports/1", ["manifest.json", "pairs.jsonl"]) as folder:
        assert (folder / "manifest.json").read_bytes() == b"{}" and not (folder / "pairs.jsonl").exists()
    with storage.local_folder("exports/2") as folder:
        assert not (folder / "manifest.json").exists()


def test_it_says_where_people_find_something(storage: Storage) -> None:
    storage.put("runs/1/log.txt", b"x")
    shown = storage.shown("runs/1/log.txt")
    assert shown == f"{storage.name.removeprefix('file://')}/runs/1/log.txt"


def test_what_can_be_used_passes_the_check(storage: Storage) -> None:
    storage.put("a", b"a")
    storage.check()


def test_a_folder_that_is_gone_does_not_pass_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="look at its mount"):
        FolderStorage(FolderAddress(tmp_path / "gone")).check()


def test_a_bucket_that_is_gone_does_not_pass_it(object_store: ObjectStore, tmp_path: Path) -> None:
    address = replace(object_store.address(), bucket="never-made")
    storage = BucketStorage(address, CREDENTIALS, LocalCache(tmp_path, 0))
    with pytest.raises(StorageError, match="there is no such bucket"):
        storage.check()


def test_a_folder_that_is_not_whole_is_not_sent(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(FileNotFoundError, match="not whole yet"):
        stage_up(storage, tmp_path, "runs/7", last="result.json")
    assert keys(storage) == []
