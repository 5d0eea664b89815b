"""One training run on several machines, each with a copy of its folder and of what its request names.

The machine of the main process has the run: it alone writes metrics, checkpoints and the result. What the
others need of that to go on is handed to them, and the clips that they make are brought to it. Machines that
share one folder find everything there already.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from generator.files import file_sha256, replacing
from generator.rundir import RunError
from rlhf.training import processes

#: So much of a file is sent at once.
CHUNK_BYTES = 1 << 26


def expect_alike(what: str, value: Any) -> None:
    """All processes must have the same here, and ask at the same place.

    Raises:
        RunError: this process has something else than the main one.
    """
    mine = hashlib.sha256(repr(value).encode()).hexdigest()
    if processes.of_main(mine) != mine:
        raise RunError(
            f"{what}: process {processes.place()} has others than the first one; "
            "bring the same run folder, data, weights and versions of the software to each machine"
        )


def hand_out(folder: Path, names: Sequence[str]) -> None:
    """Give every machine these files of the main one's folder, where it lacks them or has others.

    Args:
        folder: on each machine; made when missing.
        names: of files in it, as the main process knows them.
    """
    if processes.machines() == 1:
        return
    known = {name: file_sha256(folder / name) for name in names} if processes.is_main() else {}
    for name, sha256 in processes.of_main(known).items():
        place = folder / name
        lacks = processes.is_first_here() and not (place.is_file() and file_sha256(place) == sha256)
        if processes.any_of_us(lacks):
            _receive(place, lacks=lacks)
    processes.wait()


def _receive(place: Path, *, lacks: bool) -> None:
    """A file of the main process, written where it is lacking; everybody listens."""
    parts = _parts_of_main(place)
    if not lacks:
        collections.deque(parts, maxlen=0)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as partial, open(partial, "wb") as file:
        file.writelines(parts)


def _parts_of_main(place: Path) -> Iterator[bytes]:
    with open(place, "rb") if processes.is_main() else contextlib.nullcontext() as source:
        while part := processes.of_main(source.read(CHUNK_BYTES) if source else b""):
            yield part


def bring_together(folder: Path, pattern: str) -> None:
    """Give the main machine the small files of this pattern that others have made in their folder."""
    if processes.machines() == 1:
        return
    offers = processes.is_first_here() and not processes.is_main()
    made = {path.name: path.read_bytes() for path in folder.glob(pattern)} if offers else {}
    for files in processes.all_of_us([made]):
        for name, content in files.items() if processes.is_main() else ():
            if not (folder / name).exists():
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(folder / name) as partial:
                    partial.write_bytes(content)
    processes.wait()
