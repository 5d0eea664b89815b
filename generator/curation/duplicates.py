"""Near-duplicates among the files of one person: copies that were encoded again, or resized.

Two clips of one person in one room look alike in most frames. So two files are copies only where every one of
several frames, at the same moments of both, looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.media.decoder import VideoDecoder
from generator.media.formats import MediaKind, detect_format
from generator.media.video import fit, read_clip

#: Moments of a clip that are compared: the middles of so many equal parts.
MOMENTS = 8
#: A hash has the square of it in bits.
HASH_SIDE = 16
#: Pixels of the long side of what is hashed; the hash itself looks at 64 x 64.
_SIDE = 128

#: One hash in hex a moment; a photo has one.
Fingerprint = tuple[str, ...]


def fingerprint(path: Path | str) -> Fingerprint:
    """What a file looks like, whatever its size and encoding.

    Raises:
        MediaError: not readable, not supported, or beyond the limits.
        OSError: the file cannot be opened.
    """
    media_format = detect_format(path)
    if media_format.kind is MediaKind.IMAGE:
        return (_hash(read_clip(path).frames[0]),)
    with VideoDecoder(path, media_format) as decoder:
        hashes = [_hash(decoder.upright_rgb(frame, fit(decoder.size, _SIDE))) for frame in decoder]
    return tuple(hashes[(2 * moment + 1) * len(hashes) // (2 * MOMENTS)] for moment in range(MOMENTS))


def distance(first: Fingerprint, second: Fingerprint) -> float:
    """Of two files, the share of bits that differ at the moment at which they differ most, in [0, 1].

    A photo and a clip are 1 apart.
    """
    if len(first) != len(second):
        return 1.0
    pairs = zip(first, second, strict=True)
    return max((int(mine, 16) ^ int(theirs, 16)).bit_count() for mine, theirs in pairs) / HASH_SIDE**2


def find_duplicates(fingerprints: Sequence[Fingerprint], max_distance: float) -> dict[int, int]:
    """Which of one person's files are copies, those to keep first; see `Thresholds.max_copy_distance`.

    Returns:
        The index of each copy, and that of the earlier file, itself no copy, that it is nearest to.
    """
    copies: dict[int, int] = {}
    for index, mine in enumerate(fingerprints):
        kept = [earlier for earlier in range(index) if earlier not in copies]
        nearest = min(kept, key=lambda earlier: distance(fingerprints[earlier], mine), default=None)
        if nearest is not None and distance(fingerprints[nearest], mine) <= max_distance:
            copies[index] = nearest
    return copies


def _hash(picture: NDArray[np.uint8]) -> str:
    return str(imagehash.phash(Image.fromarray(picture), hash_size=HASH_SIDE))
