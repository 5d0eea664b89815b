"""What is broken, forbidden or too large: what can be used of it, or one reason why not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from generator.media.encoder import write_clip
from generator.media.formats import MediaError, MediaLimits, RejectReason
from generator.media.normalise import normalise
from generator.media.video import probe, read_clip
from tests.generator.media.media_files import MediaMaker, moving, picture


def test_it_uses_what_came_before_a_break(make: MediaMaker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    write_clip(make.folder / "whole.mp4", noise, 8)
    broken = make.truncated(make.folder / "whole.mp4", 0.6, "broken.mp4")
    facts = probe(broken)
    assert facts.is_damaged
    assert 5 <= facts.num_frames < 20
    assert normalise(broken, make.folder / "normal.mp4").num_frames == facts.num_frames
    assert (facts.fps, facts.duration_s) == (pytest.approx(8), pytest.approx(facts.num_frames / 8))
    short = make.truncated(make.folder / "whole.mp4", 0.15, "short.mp4")
    with pytest.raises(MediaError, match=r"breaks off after \d frames; 5 are needed") as caught:
        probe(short)
    assert caught.value.reason is RejectReason.UNREADABLE


def test_it_keeps_the_frames_that_wait_in_the_decoder_at_a_break(make: MediaMaker) -> None:
    whole = make.encoded(
        "whole.mp4", frames=moving(20), front_index=True, codec_options={"bf": "3", "crf": "1"}
    )
    broken = make.truncated(whole, 0.85, "broken.mp4")
    facts = probe(broken)
    assert facts.is_damaged
    assert 5 <= facts.num_frames < 20
    assert facts.duration_s > 0.125 * (facts.num_frames - 1)
    assert normalise(broken, make.folder / "normal.mp4").fps == pytest.approx(8)


def test_it_refuses_a_clip_without_its_index(make: MediaMaker) -> None:
    whole = make.encoded("whole.mp4")  # other programs write the index last
    with pytest.raises(MediaError, match="cannot be opened as mov") as caught:
        probe(make.truncated(whole, 0.8, "broken.mp4"))
    assert caught.value.reason is RejectReason.UNREADABLE


def test_it_refuses_sound_without_pictures(make: MediaMaker) -> None:
    with pytest.raises(MediaError, match="holds no video stream") as caught:
        probe(make.audio_only())
    assert caught.value.reason is RejectReason.UNSUPPORTED


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        (MediaLimits(max_frames=11), "more than 11 frames"),
        (MediaLimits(max_duration_s=1.0), "longer than 1 s"),
        (MediaLimits(max_side=60), "64x48 pixels; no side may exceed 60"),
        (MediaLimits(max_pixels=3000), "64x48 pixels"),
        (MediaLimits(max_bytes=100), "100 are allowed"),
    ],
)
def test_it_refuses_what_costs_too_much(make: MediaMaker, limits: MediaLimits, detail: str) -> None:
    with pytest.raises(MediaError, match=detail) as caught:
        probe(make.clip(), limits=limits)
    assert caught.value.reason is RejectReason.TOO_LARGE


def test_it_returns_no_more_frames_than_memory_allows(make: MediaMaker) -> None:
    path, limits = make.clip(), MediaLimits(max_clip_bytes=5 * 48 * 64 * 3)
    assert read_clip(path, max_frames=5, limits=limits).frames.shape[0] == 5
    with pytest.raises(MediaError, match="give max_frames or normalise it"):
        read_clip(path, limits=limits)


def test_it_refuses_clips_that_are_too_short(make: MediaMaker) -> None:
    with pytest.raises(MediaError, match="has 12 frames; 13 are needed") as caught:
        probe(make.clip(), limits=MediaLimits(min_frames=13))
    assert caught.value.reason is RejectReason.TOO_SHORT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", RejectReason.UNREADABLE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", RejectReason.UNSAFE),
        (b"\xef\xbb\xbf  <!DOCTYPE html><html></html>", RejectReason.UNSAFE),
        ("<html></html>".encode("utf-16"), RejectReason.UNSAFE),
        (b"#EXTM3U\nfile:///etc/passwd\n", RejectReason.UNSAFE),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", RejectReason.UNSAFE),
        (b"GIF89a" + bytes(64), RejectReason.UNSUPPORTED),
        (b"\0\0\0\x18ftypheic" + bytes(64), RejectReason.UNSUPPORTED),
        (b"just some words", RejectReason.UNSUPPORTED),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), RejectReason.UNREADABLE),
        (b"\xff\xd8\xff\xe0" + bytes(64), RejectReason.UNREADABLE),
        (b"\0\0\0\x18ftypisom" + bytes(64), RejectReason.UNREADABLE),
        (b"\x1a\x45\xdf\xa3" + bytes(64), RejectReason.UNREADABLE),
    ],
)
def test_it_names_the_reason_for_what_is_no_media(
    make: MediaMaker, content: bytes, reason: RejectReason
) -> None:
    path = make.bytes("photo.png", content)
    for read in (probe, read_clip):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.reason is reason
        assert "\n" not in caught.value.detail
        assert str(path) not in caught.value.detail


@pytest.mark.slow
def test_it_survives_flipped_bytes(make: MediaMaker) -> None:
    """Whatever the damage: facts, or one MediaError."""
    rng = np.random.default_rng(3)
    Image.fromarray(picture()).save(make.folder / "photo.webp")
    sources = [
        make.clip("a.mp4").read_bytes(),
        make.encoded("b.mkv").read_bytes(),
        make.photo("c.png").read_bytes(),
        make.photo("d.jpg").read_bytes(),
        (make.folder / "photo.webp").read_bytes(),
    ]
    outcomes = set()
    for index in range(150):
        content = np.frombuffer(sources[index % len(sources)], np.uint8).copy()
        content[rng.integers(16, len(content), 1 + index % 8)] = rng.integers(0, 256)
        path = make.bytes(
            "flipped", content[: len(content) if index % 3 else rng.integers(1, len(content))].tobytes()
        )
        try:
            facts = probe(path)
            outcomes.add("read")
            normalise(path, make.folder / f"normal{facts.normal_suffix}")
        except MediaError as error:
            outcomes.add(error.reason)
    assert {"read", RejectReason.UNREADABLE} <= outcomes
