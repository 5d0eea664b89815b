"""One reader of pictures: what import shows of a file is what the pipeline sees of it, in every form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from generator.media.normalise import normalise  # noqa: E402
from generator.media.video import read_clip  # noqa: E402
from generator.model.pictures import list_references, read_references, to_frames  # noqa: E402
from tests.generator.media.media_files import MediaMaker, grey_of, moving, picture  # noqa: E402

CASES = Path(__file__).parents[4] / "shared/cases"


def turned(folder: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(folder / f"exif{orientation}.jpg", exif=exif)
    return folder / f"exif{orientation}.jpg"


def grey16(folder: Path) -> Path:
    Image.fromarray(np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)).save(
        folder / "grey.png"
    )
    return folder / "grey.png"


def hidden(folder: Path) -> Path:
    pixels = np.full((48, 64, 4), (200, 10, 10, 0), np.uint8)
    pixels[:, 32:] = (10, 20, 30, 255)
    pixels[:, 28:32, 3] = 128
    Image.fromarray(pixels).save(folder / "hidden.png")
    return folder / "hidden.png"


def palette(folder: Path) -> Path:
    image = Image.fromarray(picture()).quantize(8)
    image.save(folder / "palette.png", transparency=0)
    return folder / "palette.png"


def cmyk(folder: Path) -> Path:
    Image.fromarray(picture()).convert("CMYK").save(folder / "cmyk.jpg")
    return folder / "cmyk.jpg"


def grey_alpha(folder: Path) -> Path:
    Image.fromarray(np.full((48, 64, 2), (90, 100), np.uint8), "LA").save(folder / "la.png")
    return folder / "la.png"


FILES = {
    **{f"EXIF {number}": lambda folder, number=number: turned(folder, number) for number in range(1, 9)},
    "16-bit grey": grey16,
    "hidden colours": hidden,
    "palette with transparency": palette,
    "CMYK": cmyk,
    "grey with alpha": grey_alpha,
}


@pytest.mark.parametrize("name", FILES)
def test_every_form_shows_what_import_shows(make: MediaMaker, name: str) -> None:
    path = FILES[name](make.folder)
    imported = make.folder / "imported.png"
    normalise(path, imported)
    expected = read_clip(imported).frames
    assert np.ptp(expected) > 20 or name == "grey with alpha"
    with Image.open(path) as opened:
        forms = [path, str(path), opened, [opened], [path]]
        shown = [to_frames(form) for form in forms]
    for frames in shown:
        np.testing.assert_array_equal(frames, expected)


def test_arrays_and_tensors_mean_the_same_picture() -> None:
    pixels = picture()
    transparent = np.concatenate([pixels, np.full((48, 64, 1), 255, np.uint8)], axis=2)
    forms = {
        "array": pixels,
        "clip": pixels[None],
        "16 bits": pixels.astype(np.uint16) * 257,
        "floats": pixels / 255,
        "opaque": transparent,
        "tensor": torch.from_numpy(pixels),
        "channels first": torch.from_numpy(pixels).permute(2, 0, 1),
        "floats, channels first": torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255,
        "list": [pixels],
        "list of tensors": [torch.from_numpy(pixels).permute(2, 0, 1)],
        "tuple of images": (Image.fromarray(pixels),),
    }
    for name, form in forms.items():
        np.testing.assert_array_equal(to_frames(form), pixels[None], err_msg=name)
    np.testing.assert_array_equal(to_frames(torch.zeros(4, 4, 48, 64))[..., 0], np.full((4, 48, 64), 255))
    np.testing.assert_array_equal(to_frames(np.full((48, 64, 1), 9, np.uint8)), np.full((1, 48, 64, 3), 9))


def test_frames_in_half_precision_are_read(make: MediaMaker) -> None:
    frames = torch.from_numpy(moving(3)).permute(0, 3, 1, 2).to(torch.bfloat16) / 255
    assert np.abs(to_frames(frames).astype(int) - moving(3)).max() <= 1


def test_a_single_picture_is_a_list_of_one(make: MediaMaker) -> None:
    pixels = picture()
    for single in (
        Image.fromarray(pixels),
        pixels,
        torch.from_numpy(pixels),
        make.photo(),
        str(make.photo()),
    ):
        assert len(list_references(single)) == 1
        np.testing.assert_array_equal(read_references(list_references(single))[0], pixels[None])
    assert len(list_references((pixels, pixels))) == 2
    assert list_references(None) == []


def test_clips_are_read_from_their_files_at_the_videos_rate(make: MediaMaker) -> None:
    clip = make.clip(num_frames=12, fps=8)
    assert grey_of(to_frames(clip)) == pytest.approx([40 + 10 * k for k in range(12)], abs=3)
    assert grey_of(to_frames(clip, max_frames=5)) == pytest.approx([40, 50, 60, 70, 80], abs=3)
    assert grey_of(to_frames(clip, fps=4, max_frames=5)) == pytest.approx([40, 60, 80, 100, 120], abs=3)
    assert len(to_frames(make.photo(), fps=4, max_frames=5)) == 1


def animated(folder: Path, name: str) -> Image.Image:
    stills = [Image.fromarray(picture(grey=grey)) for grey in (40, 200)]
    stills[0].save(folder / name, save_all=True, append_images=stills[1:])
    return Image.open(folder / name)


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp"])
def test_what_moves_is_refused_with_a_remedy_by_either_door(make: MediaMaker, name: str) -> None:
    opened = animated(make.folder, name)
    for door in (opened, make.folder / name):
        with pytest.raises(ValueError, match=r"^reference 1: .*save it as ") as caught:
            read_references([door])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ([], "reference 2: a reference clip has no frames"),
        (5, "reference 2: int is no picture; give an image, a path, an array or a list"),
        ("nowhere.png", "reference 2: nowhere.png is no file"),
        ([picture(), picture(64, 40)], "frames 0 and 1 of a clip are 64x48 and 64x40 pixels; give one size"),
        ([picture(), moving(3)], "frame 1 of a list is a clip itself"),
        (np.zeros((4, 4, 4, 4, 3), np.uint8), "must be .F, H, W, 3. uint8"),
        (np.zeros((0, 4, 4, 3), np.uint8), "with at least one frame"),
        (np.zeros((4, 4, 3), np.int64), "has type int64; it must be uint8, uint16 or floats"),
        (np.full((4, 4, 3), -1.0), r"spans \[-1, -1\]; scale it to \[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), "holds numbers that are not finite"),
        (Image.new("F", (4, 4)), "the image is of mode F; convert it to RGB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(reference: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_references([picture(), reference])  # type: ignore[list-item]
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")
@pytest.mark.parametrize("name", ["exif6.jpg", "grey16.png", "rgba.png"])
def test_the_pictures_that_failed_are_read_as_import_reads_them(make: MediaMaker, name: str) -> None:
    normalise(CASES / name, make.folder / f"imported{Path(name).suffix}")
    with Image.open(CASES / name) as opened:
        shown = to_frames(opened)
    imported = read_clip(make.folder / f"imported{Path(name).suffix}").frames
    assert np.abs(shown.astype(int) - imported).max() <= (12 if name.endswith("jpg") else 0)
    np.testing.assert_array_equal(shown, to_frames(CASES / name))
