"""What may be given as a reference, and its one reader: pictures are read as import reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from generator.media.formats import MediaError, MediaKind, detect_format
from generator.media.photo import decode_photo, refuse_animation
from generator.media.video import read_clip, read_paced

#: One picture, or for arrays and paths also a clip.
Picture = Image.Image | np.ndarray | Tensor | str | PathLike[str]
#: A photo, or the frames of a clip in order.
VisualReference = Picture | Sequence[Picture]

_SHAPES = "(F, H, W, 3) uint8 with at least one frame, floats in [0, 1], or a tensor (F, 3, H, W)"


def list_references(references: Picture | Iterable[VisualReference] | None) -> list[VisualReference]:
    """References as a list; a single picture, array or path is one of one."""
    if references is None:
        return []
    if isinstance(references, (Image.Image, np.ndarray, Tensor, str, PathLike)):
        return [references]
    return list(references)


def read_references(
    references: Sequence[VisualReference], *, fps: float | None = None, max_frames: int | None = None
) -> list[NDArray[np.uint8]]:
    """The frames of each reference, see `to_frames`.

    Raises:
        ValueError: as there, with the number of the reference; or there is none.
        OSError: a file cannot be opened.
    """
    if not references:
        raise ValueError("no reference was given; give at least the primary one")
    read = []
    for number, reference in enumerate(references, start=1):
        try:
            read.append(to_frames(reference, fps=fps, max_frames=max_frames))
        except ValueError as error:
            raise ValueError(f"reference {number}: {error}") from None
    return read


def to_frames(
    reference: VisualReference, *, fps: float | None = None, max_frames: int | None = None
) -> NDArray[np.uint8]:
    """The frames of a reference; a still is a clip of one frame.

    Pictures are turned as EXIF says, shown in sRGB, laid over white where they are transparent, and brought
    to 8 bits, in whatever form they are given.

    Args:
        reference: a PIL image, a path, an array or tensor (H, W, C) or (F, H, W, C), a tensor (C, H, W) or
            (F, C, H, W), or a list of such pictures. C is 1, 3 or 4; numbers are uint8, uint16, or floats in
            [0, 1].
        fps: frame rate at which a clip is read from its file; None takes its own.
        max_frames: of a clip that is read from its file; None reads all.

    Returns:
        (F, H, W, 3) uint8 RGB, F at least 1.

    Raises:
        ValueError: no frame, frames of unequal size, or something that is no picture.
        OSError: a file cannot be opened.
    """
    if isinstance(reference, Image.Image):
        return _read_image(reference)
    if isinstance(reference, (str, PathLike)):
        return _read_file(Path(reference), fps, max_frames)
    if isinstance(reference, (np.ndarray, Tensor)):
        return _read_array(reference)
    if not isinstance(reference, Iterable):
        raise ValueError(
            f"{type(reference).__name__} is no picture; give an image, a path, an array or a list"
        )
    frames = [to_frames(frame) for frame in reference]
    if not frames:
        raise ValueError("a reference clip has no frames; give at least one")
    for number, frame in enumerate(frames):
        if len(frame) != 1:
            raise ValueError(f"frame {number} of a list is a clip itself; give one picture for each frame")
        if frame.shape != frames[0].shape:
            sizes = (f"{shape[2]}x{shape[1]}" for shape in (frames[0].shape, frame.shape))
            raise ValueError(
                f"frames 0 and {number} of a clip are {' and '.join(sizes)} pixels; give one size"
            )
    return np.concatenate(frames)


def _read_image(picture: Image.Image) -> NDArray[np.uint8]:
    try:
        refuse_animation(picture)
        return np.asarray(decode_photo(picture))[None]
    except MediaError as error:
        raise ValueError(f"the image {error.detail}") from None


def _read_file(path: Path, fps: float | None, max_frames: int | None) -> NDArray[np.uint8]:
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a photo or a clip")
    try:
        is_clip = detect_format(path).kind is MediaKind.VIDEO
        if is_clip and fps is not None:
            return read_paced(path, fps, max_frames=max_frames)
        return read_clip(path, max_frames=max_frames).frames
    except MediaError as error:
        raise ValueError(f"{path} {error.detail}") from None


def _read_array(reference: np.ndarray | Tensor) -> NDArray[np.uint8]:
    values = reference
    if isinstance(values, Tensor):
        values = (values.float() if values.is_floating_point() else values).detach().cpu().numpy()
        # A tensor has its channels first, where that is possible.
        if values.ndim in (3, 4) and values.shape[-3] in (1, 3, 4):
            values = np.moveaxis(values, -3, -1)
    frames = values[None] if values.ndim == 3 else values
    if frames.ndim != 4 or frames.shape[-1] not in (1, 3, 4) or not frames.size:
        shape, kind = tuple(reference.shape), reference.dtype
        raise ValueError(f"a reference array has shape {shape} and type {kind}; it must be {_SHAPES}")
    pixels = _to_bytes(frames)
    if pixels.shape[-1] == 1:
        return np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] == 3:
        return np.ascontiguousarray(pixels)
    return np.stack([np.asarray(decode_photo(Image.fromarray(frame, "RGBA"))) for frame in pixels])


def _to_bytes(values: np.ndarray) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return (values / 257).round().astype(np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"a reference array has type {values.dtype}; it must be uint8, uint16 or floats in [0, 1]"
        )
    if not np.isfinite(values).all():
        raise ValueError("a reference array holds numbers that are not finite; give floats in [0, 1]")
    if values.min() < 0 or values.max() > 1:
        span = f"[{values.min():g}, {values.max():g}]"
        raise ValueError(f"a reference array of floats spans {span}; scale it to [0, 1] or give uint8")
    return (values * 255).round().astype(np.uint8)
