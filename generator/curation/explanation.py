"""Why a file is not used, in sentences that name the figure and the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from generator.curation.filters import Measures, Thresholds
from generator.media.formats import RejectReason


def explain(reason: RejectReason, measures: Measures, thresholds: Thresholds) -> str:
    """One sentence for a person.

    Args:
        reason: as `filters.judge` gave it, or `duplicate`.
        measures: of the file.
        thresholds: that were applied.
    """
    say = _SENTENCES.get(reason)
    return say(measures, thresholds) if say else f"{str(reason).replace('_', ' ').capitalize()}."


def _no_face(it: Measures, limits: Thresholds) -> str:
    if it.face_share == 0:
        return "No face was found."
    return f"The face shows in {it.face_share:.0%} of the frames; {limits.min_face_share:.0%} are needed."


def _blurred(it: Measures, limits: Thresholds) -> str:
    if it.blur is not None and it.blur < limits.min_blur:
        return f"The face has a sharpness of {it.blur:.0f}; {limits.min_blur:g} is needed."
    return f"The face is among the blurriest {limits.min_blur_percentile:g} % of the collection."


def _extreme_pose(it: Measures, limits: Thresholds) -> str:
    angles = {
        "turns": (it.yaw_max, limits.max_yaw),
        "nods": (it.pitch_max, limits.max_pitch),
        "tilts": (it.roll_max, limits.max_roll),
    }
    return " ".join(
        f"The head {verb} by {angle:.0f} degrees; {limit:g} are allowed."
        for verb, (angle, limit) in angles.items()
        if angle is not None and angle > limit
    )


_SENTENCES: Mapping[RejectReason, Callable[[Measures, Thresholds], str]] = {
    RejectReason.TOO_SHORT: lambda it, limits: (
        f"The longest shot has {it.longest_shot} frames; {limits.min_frames} are needed."
    ),
    RejectReason.MULTI_FACE: lambda it, limits: (
        f"{it.max_faces} people show at the same time; {limits.max_faces} may."
    ),
    RejectReason.NO_FACE: _no_face,
    RejectReason.SMALL_FACE: lambda it, limits: (
        f"The face is {it.face_px or 0:.0f} pixels wide; {limits.min_face_px:g} are needed."
    ),
    RejectReason.BLURRED: _blurred,
    RejectReason.EXTREME_POSE: _extreme_pose,
    RejectReason.DUPLICATE: lambda it, limits: "It shows the same as an earlier file of this person.",
}
