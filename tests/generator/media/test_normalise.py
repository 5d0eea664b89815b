"""Any source into the one form that is stored."""

from __future__ import annotations

import numpy as np
import pytest

from generator.media.normalise import normalise, normalise_shots
from generator.media.video import read_clip
from tests.generator.media.media_files import MediaMaker, grey_of, moving


def test_it_evens_a_variable_rate_without_moving_any_moment(make: MediaMaker) -> None:
    # 10 fps, with the fourth frame on screen for half a second.
    times_ms = [0, 100, 200, 300, 800, 900, 1000, 1100]
    path = make.encoded("phone.mkv", frames=moving(8), times_ms=times_ms)
    assert read_clip(path).frames.shape[0] == 8
    facts = normalise(path, make.folder / "normal.mp4")
    assert (facts.num_frames, facts.fps) == (12, pytest.approx(10))
    shown = grey_of(read_clip(make.folder / "normal.mp4").frames)
    expected = [40, 50, 60, 70, 70, 70, 70, 70, 80, 90, 100, 110]
    assert shown == pytest.approx(expected, abs=2)


def test_it_thins_out_high_rates(make: MediaMaker) -> None:
    path = make.encoded("slow-motion.mp4", frames=moving(12), times_ms=[8 * index for index in range(12)])
    facts = normalise(path, make.folder / "normal.mp4", max_fps=62.5)
    assert (facts.num_frames, facts.fps) == (6, pytest.approx(62.5))
    shown = grey_of(read_clip(make.folder / "normal.mp4").frames)
    assert shown == pytest.approx([40 + 20 * index for index in range(6)], abs=10)


def test_it_normalises_within_a_box_of_even_sides(make: MediaMaker) -> None:
    path = make.encoded("clip.mp4", frames=moving(5, 120, 70), title=("secret", "utf-8"), with_audio=True)
    facts = normalise(path, make.folder / "small.mp4", max_side=50)
    assert (facts.width, facts.height, facts.num_frames, facts.has_audio) == (50, 28, 5, False)
    assert b"secret" not in (make.folder / "small.mp4").read_bytes()
    assert normalise(path, make.folder / "same.mp4").width == 120
    odd = make.encoded("odd.mp4", frames=moving(5, 65, 49), pixel_format="yuv444p")
    facts = normalise(odd, make.folder / "even.mp4")
    assert (facts.width, facts.height) == (64, 48)


def test_it_normalises_each_shot_into_a_file_of_its_own(make: MediaMaker) -> None:
    path = make.encoded("clip.mp4", frames=moving(12))
    normalise(path, make.folder / "whole.mp4")
    shots = [(make.folder / f"shot-{number}.mp4", length) for number, length in enumerate((4, 1, 7))]
    assert [facts.num_frames for facts in normalise_shots(path, shots)] == [4, 1, 7]
    parts = [read_clip(target).frames for target, _ in shots]
    assert grey_of(np.concatenate(parts)) == pytest.approx(
        grey_of(read_clip(make.folder / "whole.mp4").frames), abs=1
    )
    with pytest.raises(ValueError, match=r"shots of \[4, 1\] frames do not cover the 12 frames of clip\.mp4"):
        normalise_shots(path, shots[:2])


def test_it_normalises_to_equal_bytes(make: MediaMaker) -> None:
    source = make.encoded("clip.webm", codec="libvpx-vp9")
    first, second = (normalise(source, make.folder / name) for name in ("one.mp4", "two.mp4"))
    assert first == second


def test_it_refuses_a_target_that_does_not_fit(make: MediaMaker) -> None:
    with pytest.raises(ValueError, match=r"clip\.png does not fit a source of kind video"):
        normalise(make.clip(), make.folder / "clip.png")
    with pytest.raises(ValueError, match=r"photo\.mp4 does not fit a source of kind image"):
        normalise(make.photo(), make.folder / "photo.mp4")
