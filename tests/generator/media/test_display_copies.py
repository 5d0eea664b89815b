"""Display copies: whatever a video is shown for, its copy is made in one way."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from generator.media.display_copies import SIZES_PER_DOUBLING, bend, shaded, write_display_copy
from generator.media.encoder import write_clip
from generator.media.formats import MediaError
from generator.media.video import probe, read_clip
from generator.records import Encoding


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    still = np.kron(rng.integers(30, 220, (8, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = np.stack([np.roll(still, step, axis=1) for step in range(9)])
    write_clip(tmp_path / "source.mp4", frames, 8)
    return tmp_path / "source.mp4"


def copies(source: Path, count: int = 4) -> list[Path]:
    files = [source.with_name(f"copy-{number}.mp4") for number in range(count)]
    for file in files:
        write_display_copy(source, file, name=file.name)
    return files


def test_copies_keep_the_form_and_differ_in_bytes(source):
    files = copies(source)
    names = ("width", "height", "num_frames", "fps", "codec", "pixel_format")
    for file in files:
        assert [getattr(probe(file), name) for name in names] == [
            getattr(probe(source), name) for name in names
        ]
    assert len({file.read_bytes() for file in files}) == len(files)


def test_a_name_gives_the_same_bytes_again(source, tmp_path):
    write_display_copy(source, tmp_path / "deep" / "a.mp4", name="one")
    write_display_copy(source, tmp_path / "b.mp4", name="one")
    assert (tmp_path / "deep" / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.mp4"], "nothing is left lying about"


def test_a_lean_copy_has_fewer_bytes_and_the_same_form(tmp_path):
    noisy = np.random.default_rng(1).integers(0, 255, (4, 160, 144, 3)).astype(np.uint8)
    write_clip(tmp_path / "noisy.mp4", noisy, 8)
    made = {encoding: tmp_path / f"{encoding}.mp4" for encoding in Encoding}
    for encoding, file in made.items():
        write_display_copy(tmp_path / "noisy.mp4", file, name="one", encoding=encoding)
    full, lean = (probe(file) for file in made.values())
    names = ("width", "height", "num_frames", "fps", "codec", "pixel_format")
    assert [getattr(full, name) for name in names] == [getattr(lean, name) for name in names]
    assert lean.size_bytes < 0.8 * full.size_bytes


def test_any_two_copies_are_about_equally_far_apart_and_look_the_same(source):
    """Which copy a gold item holds, and which the queue shows, does not follow from their distance."""
    frames = [read_clip(file).frames.astype(float) for file in copies(source, 6)]
    apart = [np.abs(a - b).mean() for a, b in itertools.combinations(frames, 2)]
    assert min(apart) > 0 and max(apart) < 2.5 and max(apart) < 4 * min(apart)


def test_a_shade_is_one_step_at_most_and_stands_still():
    grey = np.full((5, 40, 30, 3), 128, np.uint8)
    change = shaded(grey, "name").astype(int) - 128
    assert set(np.unique(change)) <= {-1, 0, 1} and np.ptp(change) > 0
    assert (change == change[:1]).all() and (change[..., 0] == change[..., 2]).all()
    assert set(np.unique(shaded(np.full_like(grey, 255), "name"))) <= {254, 255}


def test_sizes_are_a_few_and_cost_little(source):
    clip = read_clip(source)
    for file in copies(source):
        plain = source.with_name("plain.mp4")
        write_clip(plain, shaded(clip.frames, file.name), clip.fps)
        size = file.stat().st_size
        # Between a power of two and the next there are so many sizes.
        assert size % (2 ** (size.bit_length() - 1) // SIZES_PER_DOUBLING) == 0
        assert plain.stat().st_size <= size <= plain.stat().st_size * (1 + 1 / SIZES_PER_DOUBLING)


def test_the_last_box_holds_all_that_was_filled_up(source):
    content, start = copies(source, 1)[0].read_bytes(), 0
    kinds = []
    while start < len(content):
        kinds.append(content[start + 4 : start + 8])
        start += int.from_bytes(content[start : start + 4], "big")
    assert start == len(content) and kinds[-1] == b"mdat" and kinds.count(b"mdat") == 1


def test_a_bent_picture_stays_as_sharp_and_as_bright(source):
    frames = read_clip(source).frames
    bent = bend(frames)
    assert bent.shape == frames.shape and bent.dtype == np.uint8
    assert np.abs(bent.astype(int) - frames).mean() > 10
    assert abs(bent.mean() - frames.mean()) < 5
    steps = [np.abs(np.diff(video.astype(int), axis=2)).mean() for video in (frames, bent)]
    assert 0.7 < steps[1] / steps[0] < 1.6


def test_what_cannot_be_read_leaves_no_file(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError):
        write_display_copy(tmp_path / "broken.mp4", tmp_path / "copy.mp4", name="a")
    assert not (tmp_path / "copy.mp4").exists()
