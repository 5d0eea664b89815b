from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from generator.media.formats import MediaError, MediaLimits, RejectReason
from generator.media.normalise import normalise
from generator.media.video import probe, read_clip
from tests.generator.media.media_files import MediaMaker, picture

#: EXIF orientation -> degrees clockwise, and where the stored top left corner is shown.
ORIENTATIONS = {1: (0, "top left"), 3: (180, "bottom right"), 6: (90, "top right"), 8: (270, "bottom left")}


def stored(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def red_corner(frame: np.ndarray) -> str:
    rows = {"top": frame[4], "bottom": frame[-5]}
    redness = {
        f"{row} {side}": int(line[at][0]) - int(line[at][1])
        for row, line in rows.items()
        for side, at in (("left", 4), ("right", -5))
    }
    return max(redness, key=lambda corner: redness[corner])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
def test_it_turns_photos_upright(make: MediaMaker, orientation: int, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = stored(make.folder / name, picture(), exif=exif)
    rotation, corner = ORIENTATIONS[orientation]
    facts = probe(path)
    assert facts.rotation == rotation
    assert (facts.width, facts.height) == ((48, 64) if rotation % 180 else (64, 48))
    assert red_corner(read_clip(path).frames[0]) == corner
    normal = make.folder / f"normal{facts.normal_suffix}"
    assert normalise(path, normal).rotation == 0
    assert red_corner(read_clip(normal).frames[0]) == corner


def test_it_strips_where_and_when_a_photo_was_taken(make: MediaMaker) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a phone of Ada"
    path = stored(make.folder / "photo.jpg", picture(), exif=exif, comment=b"at home")
    normalise(path, make.folder / "normal.jpg")
    content = (make.folder / "normal.jpg").read_bytes()
    assert b"a phone of Ada" in path.read_bytes()
    assert b"a phone of Ada" not in content
    assert b"at home" not in content
    with Image.open(make.folder / "normal.jpg") as shown:
        assert not shown.getexif()


def test_it_keeps_lossless_photos_lossless(make: MediaMaker) -> None:
    facts = probe(make.photo("photo.png"))
    assert facts.normal_suffix == ".png"
    normalise(make.folder / "photo.png", make.folder / "normal.png")
    assert (read_clip(make.folder / "normal.png").frames[0] == picture()).all()
    assert probe(make.photo("photo.jpg")).normal_suffix == ".jpg"


def test_it_shrinks_large_photos(make: MediaMaker) -> None:
    path = make.photo("photo.jpg", size=(300, 200))
    facts = normalise(path, make.folder / "normal.jpg", max_side=150)
    assert (facts.width, facts.height) == (150, 100)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_it_shows_every_mode_as_rgb(make: MediaMaker, mode: str) -> None:
    if mode == "I;16":
        grey = Image.fromarray(np.full((48, 64), 128 * 257, np.uint16))
    else:
        grey = Image.new("L", (64, 48), 255 if mode == "1" else 128).convert(mode)
    path = make.folder / ("photo.tif" if mode == "CMYK" else "photo.png")
    if mode == "CMYK":
        path = make.folder / "photo.jpg"
    grey.save(path)
    shown = read_clip(path).frames
    assert shown.shape == (1, 48, 64, 3)
    assert np.abs(shown.astype(int) - (255 if mode == "1" else 128)).max() <= 2


def test_it_lays_transparency_over_white(make: MediaMaker) -> None:
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:, 32:] = (10, 20, 30, 255)
    path = stored(make.folder / "cutout.png", pixels)
    shown = read_clip(path).frames[0]
    assert (shown[:, :32] == 255).all()
    assert (shown[:, 32:] == (10, 20, 30)).all()


def test_it_follows_colour_profiles(make: MediaMaker) -> None:
    """A profile with the primaries swapped shows red pixels as another colour; a broken one is ignored."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = stored(make.folder / "plain.png", picture(), icc_profile=lab)
    broken = stored(make.folder / "broken.png", picture(), icc_profile=b"no profile")
    assert np.abs(read_clip(plain).frames[0].astype(int) - picture()).max() <= 1
    assert (read_clip(broken).frames[0] == picture()).all()


def test_it_refuses_huge_pictures_by_their_header(make: MediaMaker) -> None:
    for width, height in ((30_000, 10), (30_000, 20_000), (12_000, 12_000)):
        with pytest.raises(MediaError, match=f"is {width}x{height} pixels|decompression bomb") as caught:
            probe(make.wide_png(width, height))
        assert caught.value.reason is RejectReason.TOO_LARGE
    with pytest.raises(MediaError) as caught:
        probe(make.photo(), limits=MediaLimits(max_pixels=64 * 48 - 1))
    assert caught.value.reason is RejectReason.TOO_LARGE


def test_it_refuses_half_a_photo(make: MediaMaker) -> None:
    for name in ("photo.jpg", "photo.png"):
        whole = make.photo(name, size=(200, 200))
        with pytest.raises(MediaError) as caught:
            read_clip(make.truncated(whole, 0.5, "half"))
        assert caught.value.reason is RejectReason.UNREADABLE


def test_it_refuses_animations_but_not_the_second_picture_of_a_phone(make: MediaMaker) -> None:
    first, second = Image.fromarray(picture()), Image.fromarray(picture(grey=200))
    for name in ("moving.png", "moving.webp"):
        first.save(make.folder / name, save_all=True, append_images=[second])
        with pytest.raises(MediaError, match="animated") as caught:
            probe(make.folder / name)
        assert caught.value.reason is RejectReason.UNSUPPORTED
    buffer = io.BytesIO()
    first.save(buffer, format="MPO", save_all=True, append_images=[second])
    path = make.bytes("phone.jpg", buffer.getvalue())
    assert probe(path).codec == "jpeg"
    assert np.abs(read_clip(path).frames[0, 30:, 30:].astype(int) - 40).max() <= 4
