"""What a judging page or program reports of how a pair was looked at, and whether that was enough.

Everything is optional but the coverage of both videos, which the watch gate asks for. Shares are 0 to 1,
times milliseconds, frames and sides those of the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from rest_framework import serializers

from annotate.core.strict_fields import Integer, Number, Text
from rlhf.records import Track, Verdict

DAY_MS = 86_400_000
MAX_REFERENCES_SEEN = 200
MAX_INTERVALS = 1000


class NotWatchedError(Exception):
    """Less of a video was shown than the track's watch gate asks for."""


class TooSoonError(Exception):
    """The answer came sooner after its pair was shown than `settings.ANSWER_GUARD_MS` allows."""


class _Known(serializers.Serializer[dict[str, Any]]):
    """Refuses names that it does not know, so that a misspelt one is not lost in silence."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            names = ", ".join(self.fields)
            raise serializers.ValidationError({str(unknown[0])[:40]: [f"is not known; there are: {names}"]})
        known: dict[str, Any] = super().to_internal_value(data)
        return known


def _share(**options: Any) -> Number:
    return Number(min_value=0, max_value=1, **options)


class PlayedMs(_Known):
    left = Integer(min_value=0, max_value=DAY_MS)
    right = Integer(min_value=0, max_value=DAY_MS)


class Coverage(_Known):
    """The share of each clip's frames that was on the screen at least once; a photo counts as one frame."""

    left = _share()
    right = _share()
    references = serializers.ListField(
        child=_share(), required=False, max_length=MAX_REFERENCES_SEEN, help_text="In the order of the lease."
    )


def _intervals(**options: Any) -> serializers.ListField:
    ends = serializers.ListField(child=Integer(min_value=0, max_value=DAY_MS), min_length=2, max_length=2)
    return serializers.ListField(child=ends, max_length=MAX_INTERVALS, **options)


class Shown(_Known):
    """What was on the screen, as [first, last]: frames of a video, tenths of a second of a reference."""

    left = _intervals()
    right = _intervals()
    references = serializers.ListField(
        child=_intervals(),
        required=False,
        max_length=MAX_REFERENCES_SEEN,
        help_text="In the order of the lease.",
    )


class Evidence(_Known):
    """How a pair was looked at."""

    active_ms = Integer(required=False, min_value=0, max_value=DAY_MS)
    answered_after_ms = Integer(
        required=False, min_value=0, max_value=DAY_MS, help_text="From showing the pair to answering."
    )
    played_ms = PlayedMs(required=False)
    coverage = Coverage(required=False)
    shown = Shown(required=False)
    p95_drift_ms = Number(required=False, allow_null=True, min_value=0, max_value=DAY_MS)
    max_drift_ms = Number(required=False, allow_null=True, min_value=0, max_value=DAY_MS)
    speed = Number(required=False, min_value=0.1, max_value=4, help_text="When the answer was given.")
    speed_range = serializers.ListField(
        child=Number(min_value=0.1, max_value=4), required=False, min_length=2, max_length=2
    )
    viewport = serializers.ListField(
        child=Integer(min_value=1, max_value=100_000),
        required=False,
        min_length=2,
        max_length=2,
        help_text="Width and height in CSS pixels.",
    )
    input = serializers.ChoiceField(["keys", "mouse", "touch", "program"], required=False)
    guideline_version = Text(required=False, max_length=40)


class Break(_Known):
    """A frame at which a video breaks: a face that melts, a limb too many."""

    side = serializers.ChoiceField(["left", "right"])
    frame = Integer(min_value=0, max_value=100_000)


def check_not_too_soon(in_hand: timedelta, evidence: Mapping[str, Any]) -> None:
    """Refuse an answer that was meant for the pair before, or for none.

    `in_hand` is the longest that the pair can have been looked at by the database's clock. How long it was
    shown by the page's own clock is looked at, too.

    Raises:
        TooSoonError: one of the two is shorter than `settings.ANSWER_GUARD_MS`.
    """
    shown_ms = min(in_hand // timedelta(milliseconds=1), evidence.get("answered_after_ms", DAY_MS))
    if shown_ms < settings.ANSWER_GUARD_MS:
        raise TooSoonError(
            f"it came {max(shown_ms, 0)} ms after its pair was shown, and {settings.ANSWER_GUARD_MS} ms must "
            "pass; look, then answer again"
        )


def check_watched(track: str, choice: str, evidence: Mapping[str, Any]) -> None:
    """Refuse an answer about videos that were hardly looked at.

    Who cannot judge (`unsure`) need not have watched: a video may not play at all.

    Raises:
        NotWatchedError: less of a video was shown than `settings.WATCH_GATE` asks for on this track.
    """
    if choice != Verdict.UNSURE:
        check_shown(settings.WATCH_GATE[Track(track)], evidence)


def check_shown(wanted: int, evidence: Mapping[str, Any]) -> None:
    """
    Raises:
        NotWatchedError: less than `wanted` percent of a video was shown.
    """
    coverage = evidence.get("coverage", {})
    for side in ("left", "right"):
        shown = round(100 * coverage.get(side, 0))
        if shown < wanted:
            raise NotWatchedError(
                f"{shown} % of the {side} video was shown and {wanted} % must be; play it, then answer again"
            )
