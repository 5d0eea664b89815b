"""Folders of a storage as plain folders, for commands that know nothing of storages."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from annotate.storage.interface import AlteredError, Storage, is_partial
from generator.files import file_sha256


def stage_down(storage: Storage, prefix: str, folder: Path, names: Collection[str] = ()) -> int:
    """Bring a folder of a storage into a local one, verified; returns how many files were fetched.

    With `names`, only the files that are called so in it are brought. A file that is there with the right
    bytes stays, so that it goes on where it was interrupted. An object that turns out to be altered is
    fetched once more before it counts as such.
    """
    fetched = 0
    for item in storage.list(prefix):
        name = str(PurePosixPath(item.key).relative_to(prefix))
        if names and name not in names:
            continue
        place = folder / name
        expected = storage.sha256(item.key)
        if place.is_file() and file_sha256(place) == expected:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(storage, item.key, expected, place)
        except AlteredError:
            _fetch(storage, item.key, expected, place)
        fetched += 1
    return fetched


def _fetch(storage: Storage, key: str, sha256: str, place: Path) -> None:
    partial = place.with_name(f".{place.name}.staged")
    with storage.local(key, sha256) as source:
        shutil.copyfile(source, partial)
    partial.replace(place)


def stage_up(storage: Storage, folder: Path, prefix: str, *, last: str = "") -> int:
    """Bring a local folder into a storage; returns how many files were sent.

    Files that are there with the same bytes are not sent again. The file called `last` says that the folder
    is whole, so it comes after all others.

    Raises:
        FileNotFoundError: there is no file called `last`; nothing was sent.
    """
    if last and not (folder / last).is_file():
        raise FileNotFoundError(f"{folder} has no {last}, so it is not whole yet")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if name != last and not is_partial(name)]
    sent = 0
    for name in [*names, last] if last else names:
        sha256, key = file_sha256(folder / name), f"{prefix}/{name}"
        if storage.exists(key) and storage.sha256(key) == sha256:
            continue
        storage.put(key, folder / name, sha256)
        sent += 1
    return sent
