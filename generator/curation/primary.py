"""Which of a person's files makes the best primary reference, and why.

Everything that a prompt does not mention is kept as the primary shows it, so a good one shows a large, sharp
face from the front, of one person alone, for as long as it lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from generator.curation.filters import Measures
from generator.records import ReferenceKind

#: Pixels of a face's side at which more of them show no more of the person.
_ENOUGH_PX = 256.0
#: Sharpness that counts half; twice as sharp counts two thirds.
_HALF_BLUR = 100.0
#: What an unknown head pose counts: as much as a head turned by 27 degrees.
_UNKNOWN_POSE = 0.7
#: What a face image counts, which shows less of what must be kept than a half-body portrait or a clip.
_FACE_ALONE = 0.8


@dataclass(frozen=True)
class PrimaryRating:
    """How good a primary reference a file is."""

    score: float  # in [0, 1], the product of its parts; 0 where there is no face
    reasons: tuple[str, ...]  # one sentence for each part, the best part first


def rate_primary(measures: Measures, kind: ReferenceKind) -> PrimaryRating:
    """Rate one file of a modality by what was measured on it."""
    if measures.face_px is None or measures.blur is None:
        return PrimaryRating(0.0, ("No face was found.",))
    pose = (_UNKNOWN_POSE, "Where the head looks is not known.")
    if (turned := measures.yaw_max) is not None:
        pose = (max(0.0, 1 - turned / 90), f"The head turns by {turned:.0f} degrees at most.")
    company = (0.25, f"{measures.max_faces} people show at the same time.")
    if measures.max_faces == 1:
        company = (1.0, "Nobody else is in the picture.")
    modality = (1.0, f"It is a {kind.label}.")
    if not kind.shows_body:
        less = f"It is a {kind.label}, which shows less than a clip or a half-body portrait."
        modality = (_FACE_ALONE, less)
    softness = "" if measures.blur >= _HALF_BLUR else ", which is soft"
    parts = [
        (min(1.0, measures.face_px / _ENOUGH_PX), f"The face is {measures.face_px:.0f} pixels wide."),
        (measures.blur / (measures.blur + _HALF_BLUR), f"Its sharpness is {measures.blur:.0f}{softness}."),
        pose,
        company,
        (measures.face_share, f"The face shows in {measures.face_share:.0%} of the frames."),
        modality,
    ]
    score = math.prod(part for part, _ in parts)
    return PrimaryRating(score, tuple(text for _, text in sorted(parts, key=lambda part: -part[0])))
