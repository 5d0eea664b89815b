"""Clips of old and new cameras: every container that the decoder reads is imported like any other."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from generator.media.formats import MediaError, RejectReason
from generator.media.normalise import normalise
from generator.media.video import probe, read_clip
from tests.generator.media.media_files import MediaMaker, grey_of, picture

CASES = Path(__file__).parents[4] / "shared/cases"
GREYS = [40 + 4 * index for index in range(30)]
FRAMES = np.stack([picture(grey=grey) for grey in GREYS])
B_FRAMES = {"bf": "2", "g": "6"}


def written(
    path: Path,
    codec: str,
    options: dict[str, str],
    *,
    pixels: str = "yuv420p",
    muxer: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.options = options
        for index, frame in enumerate(FRAMES):
            shown = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixels)
            shown.pts, shown.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options", "pixels"),
    [
        ("xvid.avi", "mpeg4", B_FRAMES, "yuv420p"),
        ("still-camera.avi", "mjpeg", {}, "yuvj420p"),
        ("screen.avi", "libx264", {"bf": "3"}, "yuv420p"),
        ("raw.avi", "rawvideo", {}, "bgr24"),
        ("dvd.vob", "mpeg2video", B_FRAMES, "yuv420p"),
        ("old.mpg", "mpeg2video", B_FRAMES, "yuv420p"),
        ("older.mpg", "mpeg1video", B_FRAMES, "yuv420p"),
        ("stream.m2v", "mpeg2video", B_FRAMES, "yuv420p"),
        ("broadcast.ts", "mpeg2video", B_FRAMES, "yuv420p"),
        ("recorder.ts", "libx264", B_FRAMES, "yuv420p"),
        ("camcorder.m2ts", "libx264", B_FRAMES, "yuv420p"),
        ("camera.mov", "libx264", B_FRAMES, "yuv420p"),
        ("camera.mkv", "libx264", B_FRAMES, "yuv420p"),
        ("browser.webm", "libvpx-vp9", {}, "yuv420p"),
    ],
)
def test_it_shows_every_frame_at_its_moment(
    make: MediaMaker, name: str, codec: str, options: dict[str, str], pixels: str
) -> None:
    muxer = {"mpegts_m2ts_mode": "1"} if name.endswith("m2ts") else {}
    clip = written(make.folder / name, codec, options, pixels=pixels, muxer=muxer)
    facts = normalise(clip, make.folder / "normal.mp4")
    assert (facts.num_frames, facts.fps) == (30, pytest.approx(25))
    assert grey_of(read_clip(make.folder / "normal.mp4").frames) == pytest.approx(GREYS, abs=6)


def test_it_reads_a_broadcast_that_was_cut_anywhere(make: MediaMaker) -> None:
    """The first whole picture is the next key frame: at most six frames later."""
    content = written(make.folder / "whole.ts", "libx264", B_FRAMES).read_bytes()
    for cut in (10, 188 * 3 + 50, len(content) // 2):
        facts = normalise(make.bytes("cut.ts", content[cut:]), make.folder / "normal.mp4")
        shown = grey_of(read_clip(make.folder / "normal.mp4").frames)
        assert shown == pytest.approx(GREYS[-len(shown) :], abs=6)
        assert facts.num_frames >= 30 - 6 - 30 * cut / len(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"FLV\x01\x05" + bytes(64), "Flash"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(64), "WMV"),
        (b"OggS" + bytes(64), "Ogg"),
        (b"\0\0\0\x01\x67" + bytes(64), "raw H.264"),
    ],
)
def test_it_names_the_remedy_for_what_it_does_not_read(make: MediaMaker, content: bytes, name: str) -> None:
    with pytest.raises(MediaError, match=f"{name}.*save it as MP4: ffmpeg") as caught:
        probe(make.bytes("clip.mp4", content))
    assert caught.value.reason is RejectReason.UNSUPPORTED


def test_letters_are_no_transport_stream(make: MediaMaker) -> None:
    with pytest.raises(MediaError, match="save it as one of them"):
        probe(make.bytes("words.ts", b"A GREAT DEAL OF TEXT WITH A G HERE AND THERE. " * 60))


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")
@pytest.mark.parametrize("name", ["old.mpg", "camcorder.ts"])
def test_the_containers_that_failed_are_read(make: MediaMaker, name: str) -> None:
    facts = normalise(CASES / name, make.folder / "normal.mp4")
    assert (facts.num_frames, facts.fps) == (20, pytest.approx(25))
