"""Stage 5: one pair, one track, one person."""

from __future__ import annotations

import json
from collections.abc import Collection
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

from annotate.core.access import SignedInRequest, signed_in
from annotate.database import moments
from annotate.gold.qualification_queries import standing_of
from annotate.judging import queries as judging_queries
from annotate.judging.answer_schema import (
    PROMPT_UNCLEAR,
    REASONS,
    WHY,
    JudgmentOnPage,
    NotWatchedError,
    TooSoonError,
    read_form,
)
from annotate.judging.assignment_queries import own_entries, why_no_pair
from annotate.judging.judgments import (
    AlreadyJudgedError,
    LeaseLostError,
    TooLateError,
    revise_judgment,
    submit_judgment,
)
from annotate.judging.media_views import media_url
from annotate.judging.slots import lease_slot
from annotate.judging.tracks import judging_task, said_on_screen
from annotate.models import Judgment, Side, Slot
from rlhf.records import CHOICES, EXPRESSED, FAVOURED, VERDICTS, Track, choice_of

_ANSWER = JudgmentOnPage()


class Wanted(forms.Form):
    """Which pair a page asks for: the one in hand, the next after it, or the last one judged."""

    ahead_of = forms.UUIDField(required=False)
    undo = forms.BooleanField(required=False)
    revises = forms.BooleanField(required=False)


#: What someone is told whose address lacks a part.
INCOMPLETE_LINK = "That link was incomplete. Here is your current pair."


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def judge(request: SignedInRequest, track: Track) -> HttpResponse:
    wanted = Wanted(request.POST if request.method == "POST" else request.GET)
    if not wanted.is_valid():
        return _page(request, track, problem=INCOMPLETE_LINK, status=422)
    if request.method == "POST":
        return _answer(request, track, **wanted.cleaned_data)
    if wanted.cleaned_data["undo"]:
        return _undo(request, track)
    return _page(request, track, ahead_of=wanted.cleaned_data["ahead_of"])


def _answer(
    request: SignedInRequest, track: Track, *, ahead_of: UUID | None, revises: bool, undo: bool
) -> HttpResponse:
    """Store an answer; a program gets the pair that follows, ahead of the one that it shows by now."""
    sent, problem = read_form(_ANSWER, request.POST)
    if problem:
        return _page(request, track, problem=problem, status=422, sent=sent)
    fields = dict(sent)
    store = revise_judgment if revises else submit_judgment
    try:
        store(request.user, fields.pop("lease"), fields.pop("choice"), **fields)
    except AlreadyJudgedError as error:
        # The Back button or a second tab. What says the same was not lost, and the next pair follows.
        if not error.is_same:
            return _stands(request, track, error.judgment, sent)
    except (LeaseLostError, TooLateError) as lost:
        return _page(request, track, problem=f"Your answer was not stored: {lost}.", status=409)
    except (NotWatchedError, TooSoonError, ValueError) as refused:
        why = f"Your answer was not stored: {refused}."
        return _page(request, track, problem=why, status=422, sent=sent)
    if not request.htmx:
        return redirect("judge", track=track)
    return HttpResponse(status=204) if revises else _page(request, track, ahead_of=ahead_of)


def _stands(request: SignedInRequest, track: Track, stands: Judgment, sent: dict[str, Any]) -> HttpResponse:
    """Another answer to the pair stands: say so, and offer to change it to the one that came now."""
    stood = choice_of(stands.verdict, first_on_left=stands.slot.first_on_left)
    was, now = (CHOICES[choice].data.words for choice in (stood, sent["choice"]))
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
        "answers": sorted(
            VERDICTS.values(), key=lambda data: -1 if data.score is None else data.score, reverse=True
        ),
        "reasons": [r for r in REASONS if track == Track.CONTROLLABILITY or r != PROMPT_UNCLEAR],
        "why": WHY[track],
        "watch": settings.WATCH_GATE[track],
        **page_context(guidelines_of(track), CHOICES),
        "own": judging_queries.own_counts(request.user)[str(track)],
        "task": _shown(slot) if slot else None,
        "sides": [
            {"name": side.value, "label": side.label, "url": media_url(slot.lease, side)} for side in Side
        ]
        if slot and slot.lease
        else [],
        "revises": revises,
        "said": _said(sent or (said_on_screen(revises) if revises else {})),
        "standing": None if slot else standing_of(request.user, track),
        "no_pair": None if slot else why_no_pair(request.user, track),
        "entry": own_entries(request.user).first() if request.user.is_participant else None,
    }
    template = "annotate/judging/judge.html" + ("#task" if request.htmx else "")
    return render(request, template, context, status=status)


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """An answer in the words of the page, to be changed there."""
    return fields | {"breaks": json.dumps(fields.get("breaks") or [])}


def page_context(guidelines: str, offered: Collection[str]) -> dict[str, Any]:
    """What every page needs on which pairs are judged.

    `guidelines` is the template that says how; `offered` are the answers that may be given.
    """
    return {
        "choices": {
            choice: {
                "key": verdict.data.key,
                "words": verdict.data.words + ("" if verdict in EXPRESSED else ", with a reason"),
                "hint": verdict.data.hint,
                "takes_side": verdict in FAVOURED,
                "abstains": verdict not in EXPRESSED,
                "is_offered": choice in offered,
            }
            for choice, verdict in CHOICES.items()
        },
        "guidelines": {"template": guidelines, "version": guideline_version(guidelines)},
        "session": {
            "break_after_min": settings.SESSION_BREAK_MIN,
            "limit_min": settings.SESSION_LIMIT_MIN,
            "lease_s": settings.LEASE_S,
            "guard_ms": settings.ANSWER_GUARD_MS,
        },
    }


def guidelines_of(track: Track) -> str:
    return f"annotate/judging/_guidelines_{track}.html"


@cache
def guideline_version(guidelines: str) -> str:
    """It follows from the words, so that no change of theirs goes without one."""
    source = (settings.BASE_DIR / "templates" / guidelines).read_bytes()
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
