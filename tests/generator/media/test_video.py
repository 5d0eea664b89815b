from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from generator.media import encoder
from generator.media.encoder import write_clip
from generator.media.formats import MediaError, MediaKind, MediaLimits
from generator.media.normalise import normalise
from generator.media.photo import write_photo
from generator.media.video import probe, read_clip
from tests.generator.media.media_files import MediaMaker, grey_of, moving, picture

RED = (220, 30, 30)


def corner_of_red(frame: np.ndarray) -> str:
    """Which corner of a picture is red."""
    corners = {
        "top left": frame[4, 4],
        "top right": frame[4, -5],
        "bottom left": frame[-5, 4],
        "bottom right": frame[-5, -5],
    }
    return min(corners, key=lambda name: float(np.abs(corners[name].astype(int) - RED).sum()))


def start_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_it_reads_back_what_it_wrote(make: MediaMaker) -> None:
    clip = read_clip(make.clip(num_frames=9, fps=8))
    assert clip.frames.shape == (9, 48, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == 8
    # Away from the edge of the red square, where 4:2:0 must blur, a level or two of 255 is all that is lost.
    error = np.abs(clip.frames.astype(int) - moving(9))
    assert error[:, 24:, :, :].max() <= 3
    assert error[:, :10, :14, :].max() <= 4


def test_it_neither_darkens_nor_tints(make: MediaMaker) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    frame = np.kron(colours, np.ones((16, 16, 1), np.uint8))
    write_clip(make.folder / "colours.mp4", np.stack([frame] * 5), 8)
    shown = read_clip(make.folder / "colours.mp4").frames[2].astype(float)
    patches = shown.reshape(8, 16, 8, 16, 3)[:, 4:12, :, 4:12].mean(axis=(1, 3))
    assert np.abs((patches - colours).mean(axis=(0, 1))).max() < 0.5
    assert np.abs(patches - colours).max() < 6


def test_it_writes_equal_bytes_for_equal_frames(make: MediaMaker) -> None:
    assert make.clip("one.mp4").read_bytes() == make.clip("two.mp4").read_bytes()
    assert make.photo("one.jpg").read_bytes() == make.photo("two.jpg").read_bytes()


def test_it_writes_what_browsers_play_and_seek(make: MediaMaker) -> None:
    path = make.clip(num_frames=12, fps=8)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert start_times(path) == [Fraction(index, 8) for index in range(12)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.color_range, stream.colorspace) == (1, 1)
        assert not stream.has_b_frames
        assert not {"encoder", "title", "creation_time"} & set(container.metadata)
        key_frames = [index for index, frame in enumerate(container.decode(stream)) if frame.key_frame]
    assert {0, 8} <= set(key_frames)  # at least one a second


def test_it_leaves_the_old_file_when_writing_fails(make: MediaMaker) -> None:
    path = make.clip()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"63x48 pixels; H\.264 needs even sides"):
        write_clip(path, moving()[:, :, :63], 8)
    with pytest.raises(ValueError, match="fps is 0"):
        write_clip(path, moving(), 0)
    with pytest.raises(ValueError, match="float32"):
        write_clip(path, moving().astype(np.float32), 8)
    with pytest.raises(MediaError):
        normalise(make.truncated(path, 0.5, "half.mp4"), path, limits=MediaLimits(max_frames=3))
    assert path.read_bytes() == before
    assert sorted(os.listdir(make.folder)) == ["clip.mp4", "half.mp4"]


def test_it_writes_posters(make: MediaMaker) -> None:
    write_photo(make.folder / "poster.png", picture())
    assert (read_clip(make.folder / "poster.png").frames[0] == picture()).all()
    with pytest.raises(ValueError, match=r"poster\.gif must end in"):
        write_photo(make.folder / "poster.gif", picture())


def test_it_states_the_facts_of_a_clip(make: MediaMaker) -> None:
    path = make.encoded("clip.mp4", with_audio=True)
    facts = probe(path)
    assert facts.kind is MediaKind.VIDEO
    assert (facts.width, facts.height, facts.num_frames, facts.rotation) == (64, 48, 12, 0)
    assert (facts.fps, facts.duration_s) == (pytest.approx(8), pytest.approx(1.5))
    assert (facts.codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", True)
    assert facts.size_bytes == path.stat().st_size
    assert len(facts.sha256) == 64
    assert not facts.is_damaged
    assert facts.normal_suffix == ".mp4"


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mkv", "libx264"), ("clip.webm", "libvpx-vp9"), ("clip.mov", "mpeg4"), ("clip.mp4", "libx265")],
)
def test_it_counts_frames_whatever_the_container_states(make: MediaMaker, name: str, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = make.encoded(name, codec=codec, codec_options=options)
    if name.endswith((".mkv", ".webm")):
        with av.open(str(path)) as container:
            assert container.streams.video[0].frames == 0
    assert probe(path).num_frames == 12
    assert read_clip(path).frames.shape == (12, 48, 64, 3)
    assert normalise(path, make.folder / "normal.mp4").num_frames == 12


def test_it_reads_no_further_than_asked(make: MediaMaker) -> None:
    clip = read_clip(make.clip(), max_frames=3)
    assert grey_of(clip.frames) == pytest.approx([40, 50, 60], abs=2)
    assert clip.fps == pytest.approx(8)


def test_it_reads_a_photo_as_one_frame(make: MediaMaker) -> None:
    clip = read_clip(make.photo())
    assert (clip.frames == picture()[None]).all()
    assert clip.fps == 0
    facts = probe(make.photo())
    assert (facts.kind, facts.num_frames, facts.fps, facts.codec) == (MediaKind.IMAGE, 1, 0, "png")


def test_it_goes_by_content_and_never_by_name(make: MediaMaker) -> None:
    disguised = make.clip().rename(make.folder / "clip.jpg")
    assert probe(disguised).kind is MediaKind.VIDEO
    assert read_clip(disguised).frames.shape[0] == 12


def test_it_reads_names_that_look_like_addresses(make: MediaMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make.folder)
    make.clip().rename("http:clip.mp4")
    assert normalise("http:clip.mp4", "concat:copy.mp4").num_frames == 12


def test_it_reads_metadata_in_any_code_page(make: MediaMaker) -> None:
    path = make.encoded("old.mp4", title=("Запись", "cp1251"))
    assert "Запись".encode("cp1251") in path.read_bytes()
    assert probe(path).num_frames == 12
    normalise(path, make.folder / "normal.mp4")
    assert "Запись".encode("cp1251") not in (make.folder / "normal.mp4").read_bytes()


def test_it_shows_full_range_and_limited_range_alike(make: MediaMaker) -> None:
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    frames = np.stack([ramp] * 5)
    full = make.encoded("full.mp4", frames=frames, pixel_format="yuvj420p", colour={"range": 2})
    limited = make.encoded("limited.mp4", frames=frames, colour={"range": 1})
    assert probe(full).pixel_format == "yuvj420p"
    normalise(full, make.folder / "normal.mp4")
    assert probe(make.folder / "normal.mp4").pixel_format == "yuv420p"
    for path in (full, limited, make.folder / "normal.mp4"):
        assert np.abs(read_clip(path).frames[2].astype(int) - ramp).max() <= 4, path.name


def test_it_guesses_the_matrix_where_the_tag_means_nothing(make: MediaMaker) -> None:
    for space in (2, 12):
        path = make.encoded("tagged.mp4", colour={"space": space})
        assert corner_of_red(read_clip(path).frames[0]) == "top left"
        assert np.abs(read_clip(path).frames[0][4, 4].astype(int) - RED).max() <= 6


@pytest.mark.slow  # swscale needs seconds to set up a change of primaries
def test_it_shows_hdr_with_reference_white_as_white(make: MediaMaker) -> None:
    # In HLG the white of ordinary video is at three quarters of the signal (ITU-R BT.2408).
    signal = np.zeros((5, 48, 64, 3), np.uint8)
    signal[:, :, 32:] = round(0.75 * 255)
    colour = {"range": 1, "space": 9, "primaries": 9, "trc": 18}
    path = make.encoded("phone.mp4", frames=signal, pixel_format="yuv420p10le", colour=colour)
    normalise(path, make.folder / "normal.mp4")
    shown = read_clip(make.folder / "normal.mp4").frames[2]
    assert shown[24, 8].max() <= 3
    assert shown[24, 56].min() >= 250


@pytest.mark.parametrize(
    ("turned", "rotation", "corner"),
    [(0, 0, "top left"), (-90, 90, "top right"), (180, 180, "bottom right"), (90, 270, "bottom left")],
)
def test_it_turns_clips_upright(make: MediaMaker, turned: int, rotation: int, corner: str) -> None:
    path = make.encoded("phone.mp4", turned=turned)
    facts = probe(path)
    assert facts.rotation == rotation
    assert (facts.width, facts.height) == ((48, 64) if rotation % 180 else (64, 48))
    assert corner_of_red(read_clip(path).frames[0]) == corner
    normal = normalise(path, make.folder / "normal.mp4")
    assert (normal.width, normal.height, normal.rotation) == (facts.width, facts.height, 0)
    assert corner_of_red(read_clip(make.folder / "normal.mp4").frames[0]) == corner


def test_it_makes_pixels_square(make: MediaMaker) -> None:
    facts = probe(make.encoded("wide.mp4", pixel_aspect=Fraction(3, 2)))
    assert (facts.width, facts.height) == (96, 48)


def test_every_processor_writes_the_same_bytes(tmp_path, monkeypatch):
    """The encoder's plain C, and whatever instructions this machine has."""
    still = np.random.default_rng(1).integers(30, 220, (8, 6, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    frames = np.stack([np.roll(still, step, axis=1) for step in range(9)])
    write_clip(tmp_path / "fast.mp4", frames, 8)
    configure = encoder._configure

    def plainly(codec, *rest):
        configure(codec, *rest)
        options = dict(codec.options)
        given = [options["x264-params"]] if "x264-params" in options else []
        codec.options = options | {"x264-params": ":".join([*given, "asm=0"])}

    monkeypatch.setattr(encoder, "_configure", plainly)
    write_clip(tmp_path / "plain.mp4", frames, 8)
    assert (tmp_path / "fast.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
