"""Two described people whose clips differ: what instances with targets, crops and datasets need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from annotate.models import Curation, Reference
from annotate.people.identities import import_people
from annotate.people.queries import annotation_path
from annotate.storage.opening import site_storage
from generator.curation.annotation import save_annotation
from generator.media.encoder import write_clip
from generator.media.photo import write_photo
from generator.portraits.world import ELEMENT_STATES
from tests.generator.curation.annotations import annotate, face, human

FILES = ("one.mp4", "two.mp4", "three.mp4", "photo.png", "body.png")


def write_people(root: Path, **card: Any) -> Path:
    """Mia and Tom with three clips, a photo and a half-body portrait each; no two files look alike."""
    for person, name in enumerate(("mia", "tom")):
        (root / name).mkdir(parents=True)
        for number, file in enumerate(FILES):
            write_medium(root / name / file, 60 * person + 10 * number)
        notes = {file: {"elements": looks(number)} for number, file in enumerate(FILES)}
        notes["body.png"]["kind"] = "half_body"
        content = {
            "licence": "CC-BY-4.0",
            "consent": ["show", "train", "evaluate", "publish"],
            "files": notes,
            **card,
        }
        (root / name / "identity.json").write_text(json.dumps(content))
    return root


def looks(number: int) -> dict[str, str]:
    """Clothing and background differ from file to file, the rest is alike."""
    return {
        element: states[number % len(states) if element in ("clothing", "background") else 0]
        for element, states in ELEMENT_STATES.items()
    }


def write_medium(path: Path, shade: int) -> None:
    frames = np.full((17, 64, 64, 3), shade, np.uint8)
    for index, frame in enumerate(frames):
        frame[12:36, 20 + index // 4 : 44 + index // 4] = (230, 180 - shade, 140)
    if path.suffix == ".mp4":
        write_clip(path, frames, 8)
    else:
        write_photo(path, frames[shade % 17])


def import_described(root: Path, **card: Any) -> None:
    """Import them, with the annotation of a detector that sees everything."""
    import_people(write_people(root, **card), source="tests")
    Reference.objects.update(curation=Curation.DONE)
    for reference in Reference.objects.all():
        looked = [
            ([face(20 + index // 4, 12, 24)], [human(8, 4, 48, 60)]) for index in range(reference.num_frames)
        ]
        with site_storage().writing(annotation_path(reference)) as place:
            save_annotation(place, annotate(looked, sha256=reference.sha256))
