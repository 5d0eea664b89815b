"""Interlaced clips come out as whole pictures, whichever field is first and whether they say so or not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from generator.media.normalise import normalise
from generator.media.video import read_clip
from tests.generator.media.media_files import MediaMaker

CASES = Path(__file__).parents[4] / "shared/cases"
HEIGHT, WIDTH, BAR = 96, 160, 24


def moment(half: int, *, still_until: int = 0) -> np.ndarray:
    """A bar that moves 3 pixels in every half of a frame, before a ramp of grey."""
    pixels = np.repeat(np.linspace(30, 120, HEIGHT, dtype=np.uint8)[:, None], WIDTH, axis=1)
    start = 4 + 3 * max(0, half - still_until)
    pixels[:, start : start + BAR] = 220
    return np.repeat(pixels[..., None], 3, axis=2)


def woven(number: int, first: str, **of_moment: int) -> np.ndarray:
    """A frame of two moments: `tff` has the earlier one in its even lines."""
    frame, late = moment(2 * number, **of_moment), moment(2 * number + 1, **of_moment)
    lines = slice(1, None, 2) if first == "tff" else slice(0, None, 2)
    frame[lines] = late[lines]
    return frame


def combs(frames: np.ndarray) -> float:
    """How much a line differs from the mean of its neighbours, on average."""
    lines = frames.astype(float)
    return float(np.abs(2 * lines[:, 1:-1] - lines[:, :-2] - lines[:, 2:]).mean())


def marked(frames: np.ndarray, path: Path, first: str, codec: str) -> Path:
    """Encoded as interlaced video with the mark set."""
    options = {
        "libx264": {"x264-params": f"{first}=1", "crf": "8"},
        "mpeg2video": {"flags": "+ildct+ilme", "top": str(int(first == "tff")), "b": "8000000"},
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.options = options[codec]
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def is_marked(path: Path) -> bool:
    with av.open(str(path)) as container:
        return any(frame.interlaced_frame for frame in container.decode(video=0))


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize(
    ("name", "codec"), [("clip.mp4", "libx264"), ("clip.ts", "libx264"), ("clip.mkv", "mpeg2video")]
)
def test_it_fills_in_the_lines_of_clips_that_say_so(
    make: MediaMaker, first: str, name: str, codec: str
) -> None:
    combed = np.stack([woven(number, first) for number in range(16)])
    clip = marked(combed, make.folder / name, first, codec)
    assert is_marked(clip)
    check(make, clip, combed)


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mov"])
def test_it_fills_in_the_lines_of_clips_that_do_not_say_so(make: MediaMaker, first: str, name: str) -> None:
    combed = np.stack([woven(number, first) for number in range(16)])
    clip = make.encoded(name, frames=combed, codec_options={"crf": "8"})
    assert not is_marked(clip)
    check(make, clip, combed)


def check(make: MediaMaker, clip: Path, combed: np.ndarray) -> None:
    """The number of pictures and the place of the bar are as before; combs are those of a whole picture."""
    normalise(clip, make.folder / "normal.mp4")
    whole = np.stack([moment(2 * number) for number in range(16)])
    for path in (clip, make.folder / "normal.mp4"):
        shown = read_clip(path).frames
        assert shown.shape == combed.shape
        assert combs(combed) > 8 * combs(whole)
        assert combs(shown) < combs(combed) / 6
        bar = (shown[..., 1] > 170).sum(axis=2)
        assert np.abs(bar - BAR).mean() < 2
        left = np.argmax(shown[..., 1] > 170, axis=2).mean(axis=1)
        # One of the two moments of each frame, the same one in all of them.
        assert np.ptp(left - 4 - 6 * np.arange(16)) < 2


def test_it_finds_combs_that_begin_late(make: MediaMaker) -> None:
    """Nobody moves for 30 frames, so that there is nothing to see of the fields."""
    frames = np.stack([woven(number, "tff", still_until=60) for number in range(42)])
    clip = make.encoded("clip.mp4", frames=frames, codec_options={"crf": "8"})
    shown = read_clip(clip).frames
    assert len(shown) == 42
    assert combs(frames[32:]) > 8 * combs(frames[:30])
    assert combs(shown[32:]) < 2 * combs(frames[:30]) + 0.5


def test_it_leaves_whole_pictures_as_they_are(make: MediaMaker) -> None:
    """Every pixel as FFmpeg decodes it, though lines differ: thin stripes, motion, and noise."""
    rng = np.random.default_rng(0)
    stripes = np.stack(
        [moment(2 * number) // (1 + np.arange(HEIGHT) % 2)[:, None, None] for number in range(14)]
    )
    noise = rng.integers(0, 256, (14, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for number, frames in enumerate((stripes.astype(np.uint8), noise)):
        clip = make.encoded(
            f"{number}.mkv", frames=frames, codec="ffv1", pixel_format="yuv444p", codec_options={}
        )
        assert np.abs(read_clip(clip).frames.astype(int) - frames).max() <= 3


def test_it_keeps_the_only_frame_of_a_marked_clip(make: MediaMaker) -> None:
    for count in (1, 2):
        frames = np.stack([woven(number, "tff") for number in range(count)])
        clip = marked(frames, make.folder / f"{count}.mp4", "tff", "libx264")
        assert len(read_clip(clip).frames) == count


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")
def test_the_combed_clip_that_failed_is_as_smooth_as_the_whole_one() -> None:
    interlaced, progressive = (
        combs(read_clip(CASES / f"{n}.mp4").frames) for n in ("interlaced", "progressive")
    )
    assert interlaced < 1.5 * progressive
