"""How much moves: planted movements, and the published figures of two real clips."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from generator.media.encoder import write_clip
from rlhf.evaluation.metrics.motion import main, motion, published_motion

REAL = Path(__file__).resolve().parents[5] / "shared" / "realdata" / "opens2v" / "faceobj_14.mp4"
#: As OpenS2V-Nexus prints it for this clip of its demo. (singleface_3.mp4 gives 0.038793787360191345.)
PUBLISHED = 0.35025984048843384


def seen_at(columns: list[int]) -> NDArray[np.uint8]:
    """A soft random pattern that has moved to the right by so many pixels in each frame."""
    wide = np.random.default_rng(0).normal(128, 400, (64, 128, 3)).astype(np.float32)
    pattern = cv2.GaussianBlur(wide, (0, 0), 3).clip(16, 235).astype(np.uint8)
    return np.stack([pattern[:, 16 - column : 112 - column] for column in columns])


def test_a_movement_is_found_at_its_length() -> None:
    assert motion(seen_at([0, 0, 0])) == pytest.approx(0, abs=0.01)
    for step in (1, 3):
        assert motion(seen_at([0, step, 2 * step, 3 * step])) == pytest.approx(step, rel=0.1)


def test_to_and_fro_cancels_in_the_published_figure_only(tmp_path: Path) -> None:
    on, fro = seen_at([0, 2, 4, 6, 8]), seen_at([0, 2, 0, 2, 0])
    for name, frames in (("on.mp4", on), ("fro.mp4", fro)):
        write_clip(tmp_path / name, frames, 8)
    assert motion(fro) == pytest.approx(motion(on), rel=0.1)
    assert published_motion(tmp_path / "fro.mp4") < 0.05 * published_motion(tmp_path / "on.mp4")
    # Components of both directions are averaged: a movement along one of them counts half.
    assert published_motion(tmp_path / "on.mp4") == pytest.approx(1.0, rel=0.1)


@pytest.mark.slow
def test_the_published_figure_comes_out_to_the_last_digit() -> None:
    if not REAL.exists():
        pytest.skip(f"../shared/realdata/opens2v/{REAL.name} is not here")
    assert published_motion(REAL) == PUBLISHED


def test_the_command_prints_a_line_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = seen_at([0, 2, 4])
    write_clip(tmp_path / "a.mp4", frames, 8)
    main([str(tmp_path / "a.mp4")])
    printed = json.loads(capsys.readouterr().out)
    assert printed["motion"] == pytest.approx(2.0, rel=0.1)
    assert printed["motion_fb"] == published_motion(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no clip", "."), (None, "No such file"), (seen_at([0]), "has 1 frame; motion needs two")],
)
def test_what_has_no_motion_is_named(tmp_path: Path, content: bytes | NDArray | None, says: str) -> None:
    path = tmp_path / "b.mp4"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_clip(path, content, 8)
    with pytest.raises(SystemExit, match=rf"b\.mp4: .*{says}"):
        main([str(path)])
    with pytest.raises(SystemExit, match="no file is named; give clips"):
        main([])
