"""What an answer about a pair may hold. Judging pages, the API and studies all read answers by this.

Of the evidence everything is optional but the coverage of both videos, which the watch gate asks for. Shares
are 0 to 1, times milliseconds, frames and sides those of the screen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.http import QueryDict
from rest_framework import serializers

from annotate.core.strict_fields import Integer, Number, Text, Uuid
from annotate.core.strict_json import ShallowDecoder
from annotate.models import Strength
from rlhf.records import CHOICES, EXPRESSED, SIDES, VERDICTS, Track

#: Why somebody could not judge a pair. What a track does not show is no reason on it.
REASONS = (
    "A video will not play",
    "The videos look identical",
    "The reference is wrong or shows another person",
    PROMPT_UNCLEAR := "The list of changes is unclear",
    "Unsafe or distressing content",
    "I know this person or this model",
    "Something else",
)
#: What may have decided. Nobody has to say.
WHY = {
    Track.IDENTITY: (
        "Face shape",
        "Eyes or brows",
        "Nose or mouth",
        "Skin, marks or age",
        "Hair or ears",
        "The face changes while it moves",
        "Something breaks",
    ),
    Track.CONTROLLABILITY: (
        "A change is missing",
        "A change is only half made",
        "Something else changed",
        "Expression or action",
        "Framing or camera",
        "Something breaks",
    ),
}
MAX_REASONS = 8
MAX_BREAKS = 20
MAX_NOTE = 1000
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


def _share() -> Number:
    return Number(min_value=0, max_value=1)


def _two(child: serializers.Field[Any, Any, Any, Any], **options: Any) -> serializers.ListField:
    return serializers.ListField(child=child, min_length=2, max_length=2, **options)


def _intervals() -> serializers.ListField:
    ends = _two(Integer(min_value=0, max_value=DAY_MS))
    return serializers.ListField(child=ends, max_length=MAX_INTERVALS)


def _per_reference(child: serializers.Field[Any, Any, Any, Any]) -> serializers.ListField:
    return serializers.ListField(
        child=child, required=False, max_length=MAX_REFERENCES_SEEN, help_text="In the order of the lease."
    )


class PlayedMs(_Known):
    left = Integer(min_value=0, max_value=DAY_MS)
    right = Integer(min_value=0, max_value=DAY_MS)


class Coverage(_Known):
    """The share of each clip's frames that was on the screen at least once; a photo counts as one frame."""

    left = _share()
    right = _share()
    references = _per_reference(_share())


class Shown(_Known):
    """What was on the screen, as [first, last]: frames of a video, tenths of a second of a reference."""

    left = _intervals()
    right = _intervals()
    references = _per_reference(_intervals())


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
    speed_range = _two(Number(min_value=0.1, max_value=4), required=False)
    viewport = _two(
        Integer(min_value=1, max_value=100_000), required=False, help_text="Width and height in CSS pixels."
    )
    input = serializers.ChoiceField(["keys", "mouse", "touch", "program"], required=False)
    guideline_version = Text(required=False, max_length=40)


class Break(_Known):
    """A frame at which a video breaks: a face that melts, a limb too many."""

    side = serializers.ChoiceField(SIDES)
    frame = Integer(min_value=0, max_value=100_000)


def chosen(choices: Iterable[str], *, missing: str = "", **options: Any) -> serializers.ChoiceField:
    """A field that takes one of `choices`; `missing` is said where there is none."""
    known = tuple(choices)
    unknown = f"{{input}} is not one of: {', '.join(known)}."
    required = {"required": missing} if missing else {}
    return serializers.ChoiceField(known, error_messages={"invalid_choice": unknown, **required}, **options)


class Answer(serializers.Serializer[dict[str, Any]]):
    """What comes with every answer about two videos."""

    idempotency_key = Uuid(help_text="Repeat a request with the same key: it counts once.")
    note = Text(required=False, allow_blank=True, max_length=MAX_NOTE)
    evidence = Evidence(required=False)


class JudgmentRequest(Answer):
    """What somebody says of a pair on one track, in the words of the screen."""

    choice = chosen(CHOICES)
    strength = chosen(
        Strength.values, required=False, allow_blank=True, help_text="How much better the chosen side is."
    )
    reasons = serializers.ListField(
        child=chosen(dict.fromkeys(chain(REASONS, *WHY.values()))),
        required=False,
        max_length=MAX_REASONS,
        help_text="What decided, or why the pair cannot be judged.",
    )
    breaks = serializers.ListField(child=Break(), required=False, max_length=MAX_BREAKS)


class JudgmentOnPage(JudgmentRequest):
    """An answer as the judging page sends it."""

    lease = Uuid()
    choice = chosen(
        CHOICES,
        missing="Choose an answer first: "
        + ", ".join(f"{data.key} {data.hint}" for data in VERDICTS.values())
        + ".",
    )


#: What the page writes by itself: a person can only load it again.
_BY_PAGE = {"evidence": "evidence", "breaks": "marks of breaks"}


def read_form(schema: Answer, sent: QueryDict) -> tuple[dict[str, Any], str]:
    """The answer that a form holds, and ""; or as much of it as can be used, and what is wrong, in a line."""
    given: dict[str, Any] = {name: value for name, value in sent.items() if value and name in schema.fields}
    if "reasons" in given:
        given["reasons"] = sent.getlist("reasons")
    given |= {name: _json(given[name]) for name in _BY_PAGE if name in given}
    try:
        return schema.run_validation(given), ""
    except serializers.ValidationError as error:
        wrong = error.detail
    assert isinstance(wrong, Mapping)
    usable = {
        name: schema.fields[name].run_validation(value) for name, value in given.items() if name not in wrong
    }
    return usable, " ".join(_in_words(name, detail) for name, detail in wrong.items())


def _json(text: str) -> Any:
    """What is no JSON stays text, which the schema refuses."""
    try:
        return json.loads(text, cls=ShallowDecoder)
    except ValueError:
        return text


def _in_words(name: str, detail: Any) -> str:
    if name in _BY_PAGE:
        return f"The page's {_BY_PAGE[name]} cannot be used; reload the page. {json.dumps(detail)[:200]}"
    return " ".join(detail.values() if isinstance(detail, Mapping) else detail)


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


def check_strength(choice: str, strength: str) -> None:
    """Only a choice of a side can be strong.

    Raises:
        ValueError: it takes no side.
    """
    if strength and choice not in SIDES:
        raise ValueError(f"strength is {strength!r}, but {choice!r} favours no side; leave it out")


def check_watched(track: str, choice: str, evidence: Mapping[str, Any]) -> None:
    """Refuse an answer about videos that were hardly looked at.

    Who cannot judge need not have watched: a video may not play at all.

    Raises:
        NotWatchedError: less of a video was shown than `settings.WATCH_GATE` asks for on this track.
    """
    if CHOICES[choice] in EXPRESSED:
        check_shown(settings.WATCH_GATE[Track(track)], evidence)


def check_shown(wanted: int, evidence: Mapping[str, Any]) -> None:
    """
    Raises:
        NotWatchedError: less than `wanted` percent of a video was shown.
    """
    coverage = evidence.get("coverage", {})
    for side in SIDES:
        shown = round(100 * coverage.get(side, 0))
        if shown < wanted:
            raise NotWatchedError(
                f"{shown} % of the {side} video was shown and {wanted} % must be; play it, then answer again"
            )
