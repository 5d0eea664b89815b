"""Clips of different forms become clips of one, and show the same moments of the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generator.media.encoder import write_clip
from generator.media.harmonise import ClipForm, common_form, write_in_form
from generator.media.video import probe, read_clip


def make_clip(path: Path, *, width: int, height: int, fps: float, seconds: float) -> Path:
    """Brightness says the time, 100 per second; the left third is red, the right third blue."""
    num_frames = round(seconds * fps)
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[:] = np.rint(np.arange(num_frames) / fps * 100)[:, None, None, None]
    frames[:, :, : width // 3, 0] = 250
    frames[:, :, -(width // 3) :, 2] = 250
    write_clip(path, frames, fps)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [
        make_clip(tmp_path / "wide.mp4", width=192, height=96, fps=24, seconds=2.0),
        make_clip(tmp_path / "small.mp4", width=96, height=96, fps=8, seconds=1.5),
        make_clip(tmp_path / "short.mp4", width=128, height=160, fps=16, seconds=1.0),
    ]


def test_the_form_is_the_least_of_each(clips):
    assert common_form(map(probe, clips)) == ClipForm(width=96, height=96, num_frames=8, fps=8.0)


def test_every_clip_shows_the_same_moments_in_that_form(clips, tmp_path):
    form = common_form(map(probe, clips))
    for clip in clips:
        write_in_form(clip, target := tmp_path / f"{clip.stem}-copy.mp4", form)
        facts = probe(target)
        assert (facts.width, facts.height, facts.num_frames) == (96, 96, 8)
        assert facts.fps == pytest.approx(8)
        middle = read_clip(target).frames[:, 48, 48].mean(-1)
        assert middle == pytest.approx(np.arange(8) / 8 * 100, abs=8)


def test_the_middle_of_the_picture_is_kept_and_nothing_is_squeezed(clips, tmp_path):
    """96 of the 192 columns of the wide clip: its thirds of 64 leave 16 at either side."""
    write_in_form(clips[0], target := tmp_path / "copy.mp4", common_form(map(probe, clips)))
    row = read_clip(target).frames[0, 48].astype(int)
    red, blue = row[:, 0] - row[:, 2] > 120, row[:, 2] - row[:, 0] > 120
    assert red.sum() == pytest.approx(16, abs=2) and red[:14].all()
    assert blue.sum() == pytest.approx(16, abs=2) and blue[-14:].all()


def test_a_clip_of_that_form_keeps_every_frame(clips, tmp_path):
    facts = probe(clips[1])
    write_in_form(clips[1], target := tmp_path / "copy.mp4", common_form([facts]))
    assert probe(target).num_frames == facts.num_frames
    before, after = read_clip(clips[1]).frames.astype(int), read_clip(target).frames.astype(int)
    assert abs(before - after).mean() < 2
