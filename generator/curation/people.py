"""Who is in a clip: faces of a record followed over its frames, and how many people show at the same time.

A detector fires now and then on a hand or a sleeve, and loses a face that turns away. So a face counts as a
person only where it is found again, and the number of people is the largest number of them in one frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from generator.curation.annotation import Box, ClipAnnotation, Face, FrameAnnotation

#: A face goes on where the next one lies no further than so many of its own sides, per second between, ...
_SPEED = 2.0
#: ... and at least so many,
_REACH = 0.6
#: ... and is no more than so many times as large or as small.
_GROWTH = 1.8
#: Seconds for which a face may stay unseen, and at least so many annotated frames.
_PATIENCE_S, _PATIENCE_FRAMES = 1.0, 3
#: Of a clip's frames, those in which a face must be found to be a person; and at least so many frames.
_SUPPORT_SHARE, _SUPPORT_FRAMES = 0.15, 3
#: A face up to this share of another's side is worn where it lies on the chest below that face, which is so
#: many face boxes wide and high.
_WORN, _CHEST = 0.5, (2.0, 3.0)


@dataclass
class Track:
    """One face, followed: its faces by index in the record's frames."""

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def area(self) -> float:
        """All that it ever covered, in square pixels: the subject of a clip has the largest."""
        return sum(face.box.area for face in self.faces.values())


@dataclass(frozen=True)
class People:
    """What a clip shows."""

    tracks: tuple[Track, ...]  # of people, the subject first
    max_faces: int  # the largest number of people in one frame
    face_share: float  # of the annotated frames, those that show at least one of them, in [0, 1]

    @property
    def subject(self) -> tuple[Face, ...]:
        """One face a frame, of the weightiest person that shows there; empty where nobody does.

        A subject who was out of sight for long is two tracks.
        """
        shown: dict[int, Face] = {}
        for track in self.tracks:
            shown = track.faces | shown
        return tuple(shown[index] for index in sorted(shown))


def find_people(annotation: ClipAnnotation) -> People:
    """Follow the faces of a record and keep those that are people."""
    frames = [_without_worn(frame) for frame in annotation.frames]
    tracks = follow(frames, annotation.fps, annotation.stride)
    needed = min(len(frames), max(_SUPPORT_FRAMES, math.ceil(_SUPPORT_SHARE * len(frames))))
    people = [track for track in tracks if len(track.faces) >= needed]
    counts = [sum(index in track.faces for track in people) for index in range(len(frames))]
    return People(
        tracks=tuple(sorted(people, key=lambda track: track.area, reverse=True)),
        max_faces=max(counts),
        face_share=sum(count > 0 for count in counts) / len(counts),
    )


def _without_worn(frame: FrameAnnotation) -> FrameAnnotation:
    """Leave out small faces on the chest of a large one: a hand, a print; a person would be hidden there."""
    faces = tuple(
        face for face in frame.faces if not any(_is_worn(face.box, other.box) for other in frame.faces)
    )
    return replace(frame, faces=faces)


def _is_worn(small: Box, large: Box) -> bool:
    if small.side > _WORN * large.side:
        return False
    width, height = _CHEST
    left = large.left + large.width * (1 - width) / 2
    chest = Box(left, large.bottom, large.width * width, large.height * height)
    return chest.overlap(small) > 0.9


def follow(frames: Sequence[FrameAnnotation], fps: float, stride: int) -> list[Track]:
    """Link faces over frames, the nearest first; a face that fits no track begins one."""
    tracks: list[Track] = []
    patience = max(_PATIENCE_S * fps, _PATIENCE_FRAMES * stride)
    for index, frame in enumerate(frames):
        free = set(range(len(frame.faces)))
        links = []
        for track in tracks:
            last = max(track.faces)
            if (gap := frame.index - frames[last].index) > patience:
                continue
            gap_s = gap / fps
            links += [
                (distance, id(track), number, track)
                for number in free
                if (distance := _distance(track.faces[last].box, frame.faces[number].box, gap_s)) is not None
            ]
        taken: set[int] = set()
        for _, key, number, track in sorted(links, key=lambda link: link[0]):
            if key not in taken and number in free:
                track.faces[index] = frame.faces[number]
                taken.add(key)
                free.discard(number)
        tracks += [Track({index: frame.faces[number]}) for number in sorted(free)]
    return tracks


def _distance(before: Box, after: Box, gap_s: float) -> float | None:
    """Between centres, in sides of the earlier box; None where it cannot be the same face."""
    across = (after.left + after.width / 2) - (before.left + before.width / 2)
    down = (after.top + after.height / 2) - (before.top + before.height / 2)
    distance = math.hypot(across, down) / before.side
    reach = max(_REACH, _SPEED * gap_s)
    is_same = distance <= reach and 1 / _GROWTH <= after.side / before.side <= _GROWTH
    return distance if is_same else None
