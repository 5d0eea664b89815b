"""What a detector would see in a drawn portrait, known exactly: nothing has to be detected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.curation.annotation import Box, ClipAnnotation, DetectorInfo
from generator.curation.curate import annotate_media
from generator.curation.detection.protocols import Detectors, FoundFace, HumanDetector
from generator.portraits.drawing.canvas import Plane
from generator.portraits.drawing.head import HEIGHT, head_width
from generator.portraits.people import SIZE, Item, plan_person
from generator.portraits.render import framing_chance, plan_framing
from generator.portraits.world import Identity, draw_identity

#: The name in the record of whoever knew where the face is.
DETECTOR = "portrait world"


class KnownFaces:
    """The faces of one drawn file, handed out frame by frame in its order."""

    info = DetectorInfo(DETECTOR, "1", {})

    def __init__(self, faces: Sequence[FoundFace]) -> None:
        self._faces = iter(faces)

    def find(self, picture: NDArray[np.uint8]) -> list[FoundFace]:
        """The face of the next frame."""
        return [next(self._faces)]


def annotate_portrait(
    path: Path | str, *, identity_seed: int, name: str, humans: HumanDetector
) -> ClipAnnotation:
    """The record of one file of a drawn person.

    Args:
        path: the file, normalised or as drawn.
        identity_seed: of the person.
        name: as `generator.portraits` called the file, such as `clip_0.mp4`.
        humans: draws the body around the known face.

    Raises:
        ValueError: no file of this name is drawn of this person.
        MediaError: not readable.
        OSError: it cannot be opened.
    """
    faces = known_faces(draw_identity(identity_seed), _item(identity_seed, name))
    annotation = annotate_media(path, Detectors(KnownFaces(faces), humans))
    return replace(annotation, shots=((0, annotation.num_frames),))


def known_faces(identity: Identity, item: Item, size: int = SIZE) -> list[FoundFace]:
    """Where the head is in each frame of an item, as the box around its outline."""
    framing = plan_framing(item.elements, item.num_frames, size, framing_chance(item.seed), item.yaw)
    wide, high = head_width(identity) * framing.radius, HEIGHT * framing.radius
    lift = Plane.PIVOT * framing.radius
    faces = []
    for yaw, pitch, roll in zip(framing.view.yaw, framing.view.pitch, framing.view.roll, strict=True):
        x = framing.centre[0] + lift * math.sin(roll)
        y = framing.centre[1] + lift * (1 - math.cos(roll))
        across = math.hypot(wide * math.cos(roll), high * math.sin(roll))
        down = math.hypot(wide * math.sin(roll), high * math.cos(roll))
        faces.append(
            FoundFace(
                box=Box(float(x - across), float(y - down), float(2 * across), float(2 * down)),
                yaw=math.degrees(yaw),
                pitch=math.degrees(pitch),
                roll=math.degrees(roll),
            )
        )
    return faces


def _item(identity_seed: int, name: str) -> Item:
    kind, _, number = Path(name).stem.rpartition("_")
    items = [item for item in plan_person(identity_seed) if item.kind == kind]
    if not number.isdecimal() or int(number) >= len(items):
        raise ValueError(f"{name} is no file that is drawn of person {identity_seed}; draw the person again")
    return items[int(number)]
