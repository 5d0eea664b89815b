"""Real clips and photos of people, where they are at hand: they are no part of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from generator.media.formats import MediaKind
from generator.media.video import probe

REALDATA = Path(__file__).parents[4] / "shared" / "realdata"

pytestmark = pytest.mark.skipif(not REALDATA.is_dir(), reason="no real data beside the repository")


class Row(NamedTuple):
    """One line of the table in SOURCES.md; a still has no frames and no rate."""

    path: str
    size: str
    num_frames: int | None
    fps: float | None
    sha256: str


def table() -> list[Row]:
    if not REALDATA.is_dir():
        return []
    line = re.compile(
        r"^\| `(?P<path>[^`]+)` \|[^|]+\| (?P<size>\d+x\d+) \| (?P<frames>\d+|image) \| (?P<fps>[\d.]*) \|"
        r".*`(?P<sha256>[0-9a-f]{16})` \|$",
        re.MULTILINE,
    )
    return [
        Row(
            entry["path"],
            entry["size"],
            None if entry["frames"] == "image" else int(entry["frames"]),
            float(entry["fps"]) if entry["fps"] else None,
            entry["sha256"],
        )
        for entry in line.finditer((REALDATA / "SOURCES.md").read_text(encoding="utf-8"))
    ]


def test_it_knows_every_file_of_the_table() -> None:
    files = {path.relative_to(REALDATA).as_posix() for path in REALDATA.rglob("*.*") if path.suffix != ".md"}
    assert {row.path for row in table()} == files


@pytest.mark.slow
@pytest.mark.parametrize("row", table(), ids=lambda row: row.path)
def test_it_measures_what_the_table_states(row: Row) -> None:
    facts = probe(REALDATA / row.path)
    assert f"{facts.width}x{facts.height}" == row.size
    assert facts.sha256.startswith(row.sha256)
    assert not facts.is_damaged
    if row.num_frames is None:
        assert facts.kind is MediaKind.IMAGE
        assert facts.num_frames == 1
    else:
        assert facts.kind is MediaKind.VIDEO
        assert facts.num_frames == row.num_frames
        assert facts.fps == pytest.approx(row.fps, abs=0.03)
