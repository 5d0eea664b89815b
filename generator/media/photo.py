"""Stills: read upright in sRGB, and written without metadata."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from generator.files import replacing
from generator.media.formats import DEFAULT_LIMITS, MediaError, MediaFormat, MediaLimits, RejectReason

#: What Pillow's decoders raise on broken files.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)

_ORIENTATION_TAG = 0x0112
#: EXIF orientation -> degrees clockwise.
_ROTATIONS = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}


@contextlib.contextmanager
def open_photo(
    path: Path | str, photo_format: MediaFormat, limits: MediaLimits = DEFAULT_LIMITS
) -> Iterator[Image.Image]:
    """Open a still whose stated size is within the limits; nothing is decoded yet.

    Raises:
        MediaError: too large, animated, or not a picture.
    """
    try:
        with warnings.catch_warnings():
            # Our own limit speaks for itself; Pillow's warning would only repeat it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=[photo_format.upper()])
    except Image.DecompressionBombError as error:
        raise MediaError(RejectReason.TOO_LARGE, str(error)) from None
    except _DECODE_ERRORS:
        raise MediaError(
            RejectReason.UNREADABLE, f"is a {photo_format.upper()} with a broken header"
        ) from None
    with picture:
        limits.check_picture(*picture.size)
        refuse_animation(picture)
        yield picture


def refuse_animation(picture: Image.Image) -> None:
    """Raise MediaError for a picture that moves."""
    # Phones store a depth map as a second picture in a JPEG; that is no animation.
    if picture.format not in ("JPEG", "MPO") and getattr(picture, "is_animated", False):
        raise MediaError(RejectReason.UNSUPPORTED, "is an animated picture; save it as MP4 or as a still")


def rotation_of(picture: Image.Image) -> int:
    """Degrees clockwise that EXIF asks for: 0, 90, 180 or 270 (mirroring is not counted).

    The picture must be loaded, because a PNG keeps its EXIF behind the pixels.
    """
    return _ROTATIONS.get(picture.getexif().get(_ORIENTATION_TAG, 1), 0)


def decode_photo(picture: Image.Image) -> Image.Image:
    """Decode a still fully: upright, 8-bit sRGB, transparency laid over white, no metadata.

    Raises:
        MediaError: `unreadable` where a part of the picture is missing or broken; `unsupported` where its
            numbers have no agreed meaning as light.
    """
    if picture.mode == "F":  # numbers that are no colours
        raise MediaError(
            RejectReason.UNSUPPORTED,
            f"is of mode {picture.mode}; convert it to RGB, or to 8 or 16 bits of grey",
        )
    try:
        picture.load()
        upright = _to_rgb(_to_srgb(ImageOps.exif_transpose(picture)))
    except _DECODE_ERRORS as error:
        raise MediaError(RejectReason.UNREADABLE, f"cannot be decoded: {error}") from None
    return Image.fromarray(np.asarray(upright))  # a copy of the pixels alone


def write_photo(path: Path | str, pixels: NDArray[np.uint8]) -> None:
    """Write a still atomically, with no metadata and equal bytes for equal pixels.

    Args:
        path: ends in `.png` (lossless) or `.jpg` / `.jpeg` (quality 95 at full colour resolution).
        pixels: RGB, shape (H, W, 3).

    Raises:
        ValueError: another name ending, or pixels of another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} of shape {pixels.shape}; give uint8 of shape (H, W, 3)")
    suffix = Path(path).suffix.lower()
    picture = Image.fromarray(pixels)
    with replacing(path) as temporary:
        if suffix == ".png":
            picture.save(temporary, format="PNG", optimize=True)
        elif suffix in (".jpg", ".jpeg"):
            picture.save(temporary, format="JPEG", quality=95, subsampling=0, optimize=True)
        else:
            raise ValueError(f"{Path(path).name} must end in .png, .jpg or .jpeg")


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Colours as an sRGB screen shows them; a broken profile counts as none."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        shown = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
    return picture if shown is None else shown


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit greys to 255 where they must be scaled.
        grey = (np.asarray(picture) / 257).clip(0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")
