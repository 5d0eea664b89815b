"""Near-duplicates among the files of one person: copies that were encoded again, or resized.

Two clips of one person in one room look alike in most frames. So two files are copies only where every one of
several frames, at the same moments of both, looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagehash
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
        return (_look(Image.fromarray(read_clip(path).frames[0])),)
    looks = []
    with VideoDecoder(path, media_format) as decoder:
        for frame in decoder:
            small = decoder.upright_rgb(frame, fit(decoder.size, _SIDE))
            looks.append(_look(Image.fromarray(small)))
    return tuple(looks[(2 * moment + 1) * len(looks) // (2 * MOMENTS)] for moment in range(MOMENTS))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Of two files, the share of bits that differ at the moment at which they differ most, in [0, 1].

    A photo and a clip are 1 apart.
    """
    if len(one) != len(other):
        return 1.0
    pairs = zip(one, other, strict=True)
    return max((int(mine, 16) ^ int(theirs, 16)).bit_count() for mine, theirs in pairs) / HASH_SIDE**2


def find_duplicates(fingerprints: Sequence[Fingerprint], max_distance: float) -> dict[int, int]:
    """Which files are copies, and of which other file.

    Args:
        fingerprints: of one person's files, those to keep first.
        max_distance: up to which two files are copies, in [0, 1]; see `filters.Thresholds`.

    Returns:
        The place of each copy and that of the earlier file, itself no copy, that it is nearest to.
    """
    copies: dict[int, int] = {}
    for place, mine in enumerate(fingerprints):
        kept = [earlier for earlier in range(place) if earlier not in copies]
        nearest = min(kept, key=lambda earlier: distance(fingerprints[earlier], mine), default=None)
        if nearest is not None and distance(fingerprints[nearest], mine) <= max_distance:
            copies[place] = nearest
    return copies


def _look(picture: Image.Image) -> str:
    return str(imagehash.phash(picture, hash_size=HASH_SIDE))
