"""What a vision model is shown of a medium: a few frames as JPEG pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.media.decoder import VideoDecoder
from generator.media.formats import MediaKind, detect_format
from generator.media.photo import decode_photo, open_photo
from generator.media.video import fit, probe

#: Frames shown of a clip, evenly over its length, and the longer side of each in pixels.
GLANCES = 8
MAX_SIDE = 768
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Medium:
    """A photo, half-body portrait or clip to describe."""

    medium_id: str  # names it in a run
    path: Path


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a JPEG file; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def glance(path: Path) -> list[NDArray[np.uint8]]:
    """Up to `GLANCES` frames (H, W, 3) in RGB from the first to the last, in order; a still is one.

    A clip is decoded twice and never held, since how many frames it has is known only at its end.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    media_format = detect_format(path)
    if media_format.kind is MediaKind.IMAGE:
        with open_photo(path, media_format) as photo:
            still = decode_photo(photo)
        return [np.asarray(still.resize(fit(still.size, MAX_SIDE)))]
    count = probe(path).num_frames
    wanted = set(np.linspace(0, count - 1, min(GLANCES, count)).round().astype(int).tolist())
    with VideoDecoder(path, media_format) as decoder:
        return [
            decoder.upright_rgb(frame, fit(decoder.size, MAX_SIDE))
            for index, frame in enumerate(decoder)
            if index in wanted
        ]
