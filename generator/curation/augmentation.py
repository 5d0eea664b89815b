"""Tri-modality augmentation: a clean clip becomes a face image, a half-body portrait, or a shorter clip.

A recipe says which frames and which box; it is drawn from a seed and the clip's annotation alone, and cutting
by it again gives the same pixels. (Paper, "Multi-Reference Data Construction Pipeline".)
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from generator.curation.annotation import Box, ClipAnnotation, Face, FrameAnnotation, Human
from generator.files import file_sha256
from generator.media.decoder import VideoDecoder
from generator.media.formats import MediaKind, detect_format
from generator.media.video import read_clip
from generator.records import ReferenceKind
from generator.validation import Amount, Count, Stored, record

#: Frames of a clip reference, 4k + 1 of them: from a second of the tiny world to the paper's five seconds.
MIN_SPAN, MAX_SPAN = 9, 121
#: A face image is a square around the face box, so many times as large.
FACE_SCALES = (1.2, 1.8)
#: A half-body portrait is the human box, tighter or wider by so much.
HALF_BODY_SCALES = (0.8, 1.3)
#: Of a square around the whole head, in sides of the face box, which ends at the brow.
HEAD = 1.5
#: From the top of the face box to the waist, in heights of the face box.
WAIST = 5.0
#: Pixels that a crop needs on either side.
MIN_SIDE = 16


@record
class Recipe(Stored):
    """How one reference is cut out of a file; `draw_recipe` with its seed and kind gives it again.

    Raises:
        ValueError: no file can be cut like this; the message names the field.
    """

    kind: ReferenceKind = Field(description="photo for a face image, half_body, or clip")
    source_sha256: str = Field(description="of the file's bytes")
    start: Amount = Field(description="first frame")
    end: Count = Field(description="one after the last frame; start + 1 for stills")
    left: Amount = Field(description="pixels of the upright frame, within it")
    top: Amount = Field(description="pixels, likewise")
    width: Count = Field(description="pixels, even for clips")
    height: Count = Field(description="pixels, even for clips")
    seed: int = Field(description="of the draw")

    @model_validator(mode="after")
    def _check_span(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"recipe {self} ends before it starts; draw it again")
        return self


def possible_kinds(annotation: ClipAnnotation) -> tuple[ReferenceKind, ...]:
    """What can be cut out of a file: nothing without a face; no clip out of a still."""
    return tuple(
        kind for kind in ReferenceKind if (_spans(annotation) if kind.is_clip else _stills(annotation, kind))
    )


def draw_recipe(
    annotation: ClipAnnotation, *, seed: int, kinds: Sequence[ReferenceKind] = tuple(ReferenceKind)
) -> Recipe:
    """Draw what to cut out of a file.

    Args:
        annotation: of the file.
        seed: equal arguments give equal recipes.
        kinds: draw one of those among them that the file can give, each as likely as the others.

    Raises:
        ValueError: the file can give none of them.
    """
    possible = possible_kinds(annotation)
    wanted = [kind for kind in kinds if kind in possible]
    if not wanted:
        raise ValueError(
            f"no {' or '.join(kinds)} can be cut out of {annotation.sha256[:12]} ({annotation.num_frames} "
            f"frames): it gives {', '.join(possible) or 'nothing, for want of a face'}; leave it out"
        )
    kind = random.Random(f"{annotation.sha256}/{seed}/kind").choice(wanted)
    rng = random.Random(f"{annotation.sha256}/{seed}/{kind}")
    if kind.is_clip:
        start, end, box = _draw_span(annotation, rng)
    else:
        start, box = _draw_still(annotation, kind, rng)
        end = start + 1
    return Recipe(kind, annotation.sha256, start, end, *box, seed)


def apply_recipe(recipe: Recipe, path: Path | str) -> NDArray[np.uint8]:
    """Cut a reference out of its file.

    Args:
        recipe: as drawn.
        path: the file; only one frame of it and the result are held in memory.

    Returns:
        RGB frames, shape (F, H, W, 3); F is 1 for stills.

    Raises:
        ValueError: the file has other bytes than the recipe was drawn for, or fewer frames or pixels.
        OSError: it cannot be opened.
    """
    if (actual := file_sha256(path)) != recipe.source_sha256:
        raise ValueError(
            f"{Path(path).name} has sha256 {actual[:12]}, but the recipe was drawn for "
            f"{recipe.source_sha256[:12]}; restore the file or draw again"
        )
    media_format = detect_format(path)
    cut = np.empty((recipe.end - recipe.start, recipe.height, recipe.width, 3), np.uint8)
    if media_format.kind is MediaKind.IMAGE:
        cut[0] = _cropped(read_clip(path).frames[0], recipe)
        return cut
    with VideoDecoder(path, media_format) as decoder:
        for index, frame in enumerate(decoder):
            if index >= recipe.start:
                cut[index - recipe.start] = _cropped(decoder.upright_rgb(frame), recipe)
            if index == recipe.end - 1:
                return cut
    raise ValueError(f"{Path(path).name} ends before frame {recipe.end - 1}; draw the recipe again")


def _cropped(frame: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    crop = frame[recipe.top : recipe.top + recipe.height, recipe.left : recipe.left + recipe.width]
    if crop.shape[:2] != (recipe.height, recipe.width):
        raise ValueError(
            f"recipe {recipe} leaves a frame of {frame.shape[1]}x{frame.shape[0]}; draw it again"
        )
    return crop


#: left, top, width, height in whole pixels.
_Crop = tuple[int, int, int, int]


def _draw_still(annotation: ClipAnnotation, kind: ReferenceKind, rng: random.Random) -> tuple[int, _Crop]:
    frame = rng.choice(_stills(annotation, kind))
    face, human = _subject(frame)
    assert face is not None
    if not kind.shows_body:
        box = _square_around(face.box, rng.uniform(*FACE_SCALES))
    else:
        assert human is not None
        body, scale = _to_waist(human.box, face.box), rng.uniform(*HALF_BODY_SCALES)
        body = body.resized(scale * body.width, scale * body.height)
        box = _join([body, _square_around(face.box, HEAD)])
    return frame.index, _whole_pixels(box, annotation)


def _draw_span(annotation: ClipAnnotation, rng: random.Random) -> tuple[int, int, _Crop]:
    """A random length, then a random place around a random frame that shows the person."""
    frame, (first, last) = rng.choice(_spans(annotation))
    longest = min(MAX_SPAN, _whole_steps(last - first))
    length = rng.randrange(MIN_SPAN, longest + 1, 4)
    start = rng.randint(max(first, frame.index - length + 1), min(frame.index, last - length))
    # Where only every so many frames are annotated, the neighbours say where the person goes.
    near = range(max(first, start - annotation.stride + 1), min(last, start + length - 1 + annotation.stride))
    people = [_subject(item)[1] for item in annotation.frames if item.index in near]
    left, top, width, height = _whole_pixels(_join([human.box for human in people if human]), annotation)
    # H.264 needs even sides; a pixel less hides nobody.
    return start, start + length, (left, top, width // 2 * 2, height // 2 * 2)


def _stills(annotation: ClipAnnotation, kind: ReferenceKind) -> list[FrameAnnotation]:
    """The frames that can give a face image or a half-body portrait: both need a face."""
    needed = 2 if kind.shows_body else 1
    return [
        frame
        for frame in annotation.frames
        if all(part and _is_large_enough(part.box, annotation) for part in _subject(frame)[:needed])
    ]


def _spans(annotation: ClipAnnotation) -> list[tuple[FrameAnnotation, tuple[int, int]]]:
    """Every frame that shows the person and their face, with the shot around it, where that is a clip."""
    return [
        (frame, shot)
        for frame in _stills(annotation, ReferenceKind.HALF_BODY)
        for shot in annotation.shots
        if shot[0] <= frame.index < shot[1] and shot[1] - shot[0] >= MIN_SPAN
    ]


def _subject(frame: FrameAnnotation) -> tuple[Face | None, Human | None]:
    """The largest face, and the largest human around it; a curated clip has one person only."""
    face = max(frame.faces, key=lambda item: item.box.area, default=None)
    around = [item for item in frame.humans if face is None or _holds_centre(item.box, face.box)]
    return face, max(around, key=lambda item: item.box.area, default=None)


def _holds_centre(outer: Box, inner: Box) -> bool:
    x, y = inner.left + inner.width / 2, inner.top + inner.height / 2
    return outer.left <= x <= outer.right and outer.top <= y <= outer.bottom


def _is_large_enough(box: Box, annotation: ClipAnnotation) -> bool:
    _, _, width, height = _whole_pixels(box, annotation)
    return min(width, height) >= MIN_SIDE


def _square_around(box: Box, scale: float) -> Box:
    side = scale * max(box.width, box.height)
    return box.resized(side, side)


def _to_waist(human: Box, face: Box) -> Box:
    """The upper half of a body that is shown in full; what ends above the waist stays as it is."""
    bottom = min(human.bottom, face.top + WAIST * face.height)
    return Box(human.left, human.top, human.width, bottom - human.top)


def _join(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    return Box.between(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )


def _whole_pixels(box: Box, annotation: ClipAnnotation) -> _Crop:
    """Every pixel that the box touches within the frame."""
    left, right = (_within(x, annotation.width) for x in (box.left, math.ceil(box.right)))
    top, bottom = (_within(y, annotation.height) for y in (box.top, math.ceil(box.bottom)))
    return left, top, right - left, bottom - top


def _within(value: float, limit: int) -> int:
    return min(max(math.floor(value), 0), limit)


def _whole_steps(num_frames: int) -> int:
    """The longest 4k + 1 frames, as the video VAE takes them."""
    return (num_frames - 1) // 4 * 4 + 1
