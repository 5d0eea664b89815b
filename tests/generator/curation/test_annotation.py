from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from generator.curation.annotation import (
    Box,
    ClipAnnotation,
    DetectorInfo,
    Face,
    FrameAnnotation,
    Human,
    load_annotation,
    save_annotation,
)


@pytest.fixture
def record() -> ClipAnnotation:
    points = ((1.5, 2.0), (3.0, 2.0), (2.0, 3.0), (1.0, 4.0), (3.0, 4.0))
    seen = Face(Box(0.5, 1, 4, 4), 0.9, points, -12.5, 3.0, None, 88.25)
    unknown = Face(Box(10, 1, 4, 4), None, None, None, None, None, 0.0)
    body = Human(Box(0, 0, 8, 9.5), is_estimated=True, confidence=None)
    return ClipAnnotation(
        sha256="ab" * 32,
        width=64,
        height=48,
        num_frames=5,
        fps=8.0,
        shots=((0, 3), (3, 5)),
        frames=(FrameAnnotation(0, (seen, unknown), (body,)), FrameAnnotation(3, (), ())),
        stride=3,
        face_detector=DetectorInfo("haar", "1", {"tilts": [-20.0, 20.0]}),
        human_detector=DetectorInfo("estimated", "1", {}),
    )


def test_it_reads_back_what_it_wrote_in_equal_bytes(record: ClipAnnotation, tmp_path: Path) -> None:
    save_annotation(tmp_path / "one.json.gz", record)
    save_annotation(tmp_path / "two.json.gz", load_annotation(tmp_path / "one.json.gz"))
    assert load_annotation(tmp_path / "one.json.gz") == record
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_its_schema_is_the_documented_one(record: ClipAnnotation, tmp_path: Path) -> None:
    save_annotation(tmp_path / "one.json.gz", record)
    stored = json.loads(gzip.decompress((tmp_path / "one.json.gz").read_bytes()))
    face = stored["frames"][0]["faces"][0]
    text = (Path(__file__).parents[3] / "docs" / "annotation_record.md").read_text(encoding="utf-8")
    assert [name for name in stored if f"`{name}`" not in text] == []
    assert [name for name in face if f"`faces[].{name}`" not in text] == []
    assert [name for name in stored["frames"][0]["humans"][0] if f"`humans[].{name}`" not in text] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"not json", mtime=0),
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b'{"schema_version": 1}', mtime=0),
        gzip.compress(b'{"schema_version": 1, "fps": NaN}', mtime=0),
        gzip.compress(b"\xff\xfe", mtime=0),
    ],
)
def test_it_refuses_a_damaged_record_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json.gz").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"bad\.json\.gz is no annotation record: .*; annotate again"
    ) as caught:
        load_annotation(tmp_path / "bad.json.gz")
    assert "\n" not in str(caught.value)


def test_it_refuses_half_a_record_and_another_version(record: ClipAnnotation, tmp_path: Path) -> None:
    path = tmp_path / "one.json.gz"
    save_annotation(path, record)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is no annotation record"):
        load_annotation(path)
    path.write_bytes(gzip.compress(b'{"schema_version": 2}', mtime=0))
    with pytest.raises(ValueError, match="has schema version 2, not 1"):
        load_annotation(path)


def test_it_writes_no_number_that_json_does_not_know(record: ClipAnnotation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps is nan; it must be a finite number"):
        save_annotation(tmp_path / "one.json.gz", replace(record, fps=float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_overlap_is_by_containment() -> None:
    large, small = Box(0, 0, 100, 100), Box(10, 10, 10, 10)
    assert (large.overlap(small), small.overlap(large)) == (1, 1)
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 10, 10)) == 0.5
    assert Box(0, 0, 10, 10).overlap(Box(20, 0, 10, 10)) == 0
