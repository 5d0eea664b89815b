"""Stage 5: one pair, one track, one person."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from rest_framework.serializers import BaseSerializer, ListSerializer

from annotate.core.access import SignedInRequest, signed_in
from annotate.core.strict_json import ShallowJSONField
from annotate.database import moments
from annotate.gold.qualification_queries import standing_of
from annotate.judging import queries as judging_queries
from annotate.judging.assignment_queries import own_entries, why_no_pair
from annotate.judging.evidence import Break, Evidence, NotWatchedError, TooSoonError
from annotate.judging.judgments import (
    AlreadyJudgedError,
    LeaseLostError,
    TooLateError,
    revise_judgment,
    submit_judgment,
)
from annotate.judging.media_views import media_url
from annotate.judging.slots import CHOICES, choice_of, lease_slot
from annotate.judging.tracks import judging_task
from annotate.models import Judgment, Side, Slot, Strength
from rlhf.records import Track

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


#: Each choice in a sentence.
SAYS = {
    "left": "left is better",
    "right": "right is better",
    "tie": "about the same",
    "both_bad": "both bad",
    "unsure": "cannot judge",
}
#: Marks of one answer, as in the API.
MAX_BREAKS = 20
NOT_JSON = {"invalid": "What the page sent is not valid JSON; reload the page."}


class AnswerForm(forms.Form):
    """What comes with every answer about two videos."""

    lease = forms.UUIDField()
    idempotency_key = forms.UUIDField()
    note = forms.CharField(required=False, max_length=1000)
    evidence = ShallowJSONField(required=False, error_messages=NOT_JSON)

    def clean_evidence(self) -> dict[str, Any]:
        evidence: dict[str, Any] = self._checked(
            Evidence(data=self.cleaned_data["evidence"] or {}), "evidence"
        )
        return evidence

    def _checked(self, given: BaseSerializer[Any], what: str) -> Any:
        if not given.is_valid():
            raise forms.ValidationError(
                f"The page's {what} cannot be used; reload the page. {json.dumps(given.errors)[:200]}"
            )
        return given.validated_data

    @property
    def problem(self) -> str:
        return " ".join(str(message) for errors in self.errors.values() for message in errors)


class JudgmentForm(AnswerForm):
    choice = forms.ChoiceField(
        choices=[(choice, choice) for choice in CHOICES],
        error_messages={
            "required": "Choose an answer first: 1 left, 2 right, 3 tie, 4 both bad, 0 cannot judge."
        },
    )
    strength = forms.ChoiceField(choices=Strength.choices, required=False)
    reasons = forms.MultipleChoiceField(
        choices=[
            (reason, reason) for reason in (*REASONS, *WHY[Track.IDENTITY], *WHY[Track.CONTROLLABILITY])
        ],
        required=False,
    )
    breaks = ShallowJSONField(required=False, error_messages=NOT_JSON)

    def clean_breaks(self) -> list[dict[str, Any]]:
        given: BaseSerializer[Any] = ListSerializer(
            data=self.cleaned_data["breaks"] or [], child=Break(), max_length=MAX_BREAKS
        )
        breaks: list[dict[str, Any]] = self._checked(given, "marks of breaks")
        return breaks


class Wanted(forms.Form):
    """Which pair a page asks for: the one in hand, the next after it, or the last one judged."""

    ahead_of = forms.UUIDField(required=False)
    undo = forms.BooleanField(required=False)
    revises = forms.BooleanField(required=False)


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def judge(request: SignedInRequest, track: Track) -> HttpResponse:
    wanted = Wanted(request.POST if request.method == "POST" else request.GET)
    if not wanted.is_valid():
        return _page(request, track, problem="This address is not whole; this is your pair.", status=422)
    if request.method == "POST":
        return _answer(request, track, **wanted.cleaned_data)
    if wanted.cleaned_data["undo"]:
        return _undo(request, track)
    return _page(request, track, ahead_of=wanted.cleaned_data["ahead_of"])


def _answer(
    request: SignedInRequest, track: Track, *, ahead_of: UUID | None, revises: bool, undo: bool
) -> HttpResponse:
    """Store an answer; a program gets the pair that follows, ahead of the one that it shows by now."""
    form = JudgmentForm(request.POST)
    if not form.is_valid():
        return _page(request, track, problem=form.problem, status=422, sent=form.cleaned_data)
    fields = dict(form.cleaned_data)
    store = revise_judgment if revises else submit_judgment
    try:
        store(request.user, fields.pop("lease"), fields.pop("choice"), **fields)
    except AlreadyJudgedError as error:
        # The Back button or a second tab. What says the same was not lost, and the next pair follows.
        if not error.is_same:
            return _stands(request, track, error.judgment, form.cleaned_data)
    except (LeaseLostError, TooLateError) as lost:
        return _page(request, track, problem=f"Your answer was not stored: {lost}.", status=409)
    except (NotWatchedError, TooSoonError, ValueError) as problem:
        why = f"Your answer was not stored: {problem}."
        return _page(request, track, problem=why, status=422, sent=form.cleaned_data)
    if not request.htmx:
        return redirect("judge", track=track)
    return HttpResponse(status=204) if revises else _page(request, track, ahead_of=ahead_of)


def _stands(request: SignedInRequest, track: Track, stands: Judgment, sent: dict[str, Any]) -> HttpResponse:
    """Another answer to the pair stands: say so, and offer to change it to the one that came now."""
    was, now = SAYS[choice_of(stands.slot, stands.verdict)], SAYS[sent["choice"]]
    when = moments.element(stands.created_at)
    changeable = judging_queries.changeable_judgment(request.user, track, sent["lease"])
    if changeable is None:
        problem = format_html(
            "Your answer “{}” was not stored: this pair has your answer “{}” of {}, which can no longer be "
            "changed.",
            now,
            was,
            when,
        )
        return _page(request, track, problem=problem, status=409)
    offer = f"makes it “{now}”" if now != was else "adds what is new in this one"
    problem = format_html(
        "This pair has your answer “{}” of {}, and it stands. Enter {}, Esc keeps it.", was, when, offer
    )
    return _shown_page(
        request, track, changeable.slot, problem=problem, status=409, revises=changeable, sent=sent
    )


def _page(
    request: SignedInRequest,
    track: Track,
    *,
    problem: str = "",
    status: int = 200,
    ahead_of: UUID | None = None,
    sent: dict[str, Any] | None = None,
) -> HttpResponse:
    """The person's pair of this track, or the one after `ahead_of` (204 where there is none).

    `sent` is an answer that was not stored. It is kept for its pair.
    """
    slot = lease_slot(request.user, track, ahead_of=ahead_of)
    if slot is None and ahead_of:
        return HttpResponse(status=204)
    if not slot or not sent or slot.lease != sent.get("lease"):
        sent = None
    return _shown_page(request, track, slot, problem=problem, status=status, sent=sent)


def _undo(request: SignedInRequest, track: Track) -> HttpResponse:
    """The person's last answer while it can be changed; without one, a program gets 204."""
    last = judging_queries.changeable_judgment(request.user, track)
    if last is not None:
        return _shown_page(request, track, last.slot, revises=last)
    if request.htmx:
        return HttpResponse(status=204)
    return _page(request, track, problem="There is no answer of yours that can still be changed.")


def _shown_page(
    request: SignedInRequest,
    track: Track,
    slot: Slot | None,
    *,
    problem: str = "",
    status: int = 200,
    revises: Judgment | None = None,
    sent: dict[str, Any] | None = None,
) -> HttpResponse:
    """The fragment and the page are one template and one context."""
    context = {
        "track": track,
        "problem": problem,
        "reasons": [r for r in REASONS if track == Track.CONTROLLABILITY or r != PROMPT_UNCLEAR],
        "why": WHY[track],
        "watch": settings.WATCH_GATE[track],
        **room_context(track),
        "own": judging_queries.own_counts(request.user)[str(track)],
        "task": _shown(slot) if slot else None,
        "sides": [
            {"name": side.value, "label": side.label, "url": media_url(slot.lease, side)} for side in Side
        ]
        if slot and slot.lease
        else [],
        "revises": revises,
        "said": _sent(sent or {}) if sent or not revises else _said(revises),
        "standing": None if slot else standing_of(request.user, track),
        "no_pair": None if slot else why_no_pair(request.user, track),
        "entry": own_entries(request.user).first() if request.user.is_participant else None,
    }
    template = "annotate/judging/judge.html" + ("#task" if request.htmx else "")
    return render(request, template, context, status=status)


def _said(judgment: Judgment) -> dict[str, Any]:
    """An answer in the words of the page, to be changed there."""
    slot = judgment.slot
    breaks = [{"side": choice_of(slot, mark["sample"]), "frame": mark["frame"]} for mark in judgment.breaks]
    return {
        "choice": choice_of(slot, judgment.verdict),
        "strength": judgment.strength,
        "reasons": judgment.reasons,
        "note": judgment.note,
        "breaks": json.dumps(breaks),
    }


def _sent(fields: dict[str, Any]) -> dict[str, Any]:
    """An answer that came, in the words of the page."""
    return fields | {"breaks": json.dumps(fields.get("breaks") or [])}


def room_context(guidelines: str) -> dict[str, Any]:
    """What every page needs on which pairs are judged; `guidelines` names how: a track, or `study`."""
    return {
        "guidelines": {
            "template": f"annotate/_guidelines_{guidelines}.html",
            "version": guideline_version(guidelines),
        },
        "session": {
            "break_after_min": settings.SESSION_BREAK_MIN,
            "limit_min": settings.SESSION_LIMIT_MIN,
            "lease_s": settings.LEASE_S,
            "guard_ms": settings.ANSWER_GUARD_MS,
        },
    }


@cache
def guideline_version(guidelines: str) -> str:
    """It follows from the words, so that no change of theirs goes without one."""
    source = (settings.BASE_DIR / "templates" / "annotate" / f"_guidelines_{guidelines}.html").read_bytes()
    return sha256(source).hexdigest()[:8]


def _shown(slot: Slot) -> dict[str, Any]:
    """A leased slot in the words of the page."""
    task = judging_task(slot)
    assert slot.lease is not None
    return {
        "lease": slot.lease,
        "idempotency_key": uuid4(),
        "expires_at": slot.lease_expires_at,
        "references": [
            {
                "url": media_url(slot.lease, shown.name),
                "poster": media_url(slot.lease, f"{shown.name}.poster"),
                "is_clip": shown.reference.is_clip,
            }
            for shown in task.references
        ],
        "statements": task.statements,
        # Both videos have them alike; frame steps are exact because nothing is guessed in the browser.
        "fps": slot.pair.first.settings["fps"],
        "num_frames": slot.pair.first.settings["num_frames"],
    }
