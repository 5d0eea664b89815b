"""Stage 5: one pair, one track, one person."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from annotate import queries
from annotate.evidence import Evidence, NotWatchedError
from annotate.media import media_url
from annotate.models import Slot
from annotate.services.judgments import AlreadyJudgedError, LeaseLostError, submit_judgment
from annotate.services.slots import CHOICES, lease_slot
from annotate.tracks import judging_task
from annotate.views.access import SignedInRequest, signed_in
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


class JudgmentForm(forms.Form):
    lease = forms.UUIDField()
    idempotency_key = forms.UUIDField()
    choice = forms.ChoiceField(
        choices=[(choice, choice) for choice in CHOICES],
        error_messages={
            "required": "Choose an answer first: 1 left, 2 right, 3 tie, 4 both bad, 0 cannot judge."
        },
    )
    reason = forms.CharField(required=False, max_length=200)
    evidence = forms.CharField(required=False, max_length=20_000)

    def clean_evidence(self) -> dict[str, Any]:
        try:
            evidence = Evidence(data=json.loads(self.cleaned_data["evidence"] or "{}"))
        except json.JSONDecodeError:
            raise forms.ValidationError("The page's evidence is not valid JSON; reload the page.") from None
        if not evidence.is_valid():
            raise forms.ValidationError(f"The page's evidence cannot be used: {json.dumps(evidence.errors)}")
        return evidence.validated_data


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def judge(request: SignedInRequest, track: Track) -> HttpResponse:
    if request.method != "POST":
        return _page(request, track)
    form = JudgmentForm(request.POST)
    if not form.is_valid():
        problem = " ".join(str(message) for errors in form.errors.values() for message in errors)
        return _page(request, track, problem=problem, status=422)
    fields = form.cleaned_data
    reason = fields.pop("reason")
    try:
        submit_judgment(
            request.user,
            fields.pop("lease"),
            fields.pop("choice"),
            reasons=[reason] if reason else [],
            **fields,
        )
    except AlreadyJudgedError:
        pass  # The Back button or a second tab: the first answer stands, and the next pair follows.
    except LeaseLostError as lost:
        return _page(request, track, problem=f"Your answer was not stored: {lost}.", status=409)
    except (NotWatchedError, ValueError) as problem:
        return _page(request, track, problem=f"Your answer was not stored: {problem}.", status=422)
    if not request.htmx:
        return redirect("judge", track=track)
    return trigger_client_event(_page(request, track), "judgment-saved")


def _page(request: SignedInRequest, track: Track, *, problem: str = "", status: int = 200) -> HttpResponse:
    """The person's pair of this track; the fragment and the page are one template and one context."""
    slot = lease_slot(request.user, track)
    context = {
        "track": track,
        "problem": problem,
        "reasons": [r for r in REASONS if track == Track.CONTROLLABILITY or r != PROMPT_UNCLEAR],
        "own": queries.own_counts(request.user)[str(track)],
        "task": _shown(slot) if slot else None,
        "why_empty": "" if slot else queries.why_empty(request.user, track),
    }
    template = "annotate/judge.html" + ("#task" if request.htmx else "")
    return render(request, template, context, status=status)


def _shown(slot: Slot) -> dict[str, Any]:
    """A leased slot in the words of the page."""
    task = judging_task(slot)
    assert slot.lease is not None
    return {
        "lease": slot.lease,
        "idempotency_key": uuid4(),
        "expires_at": slot.lease_expires_at,
        "left": media_url(slot.lease, "left"),
        "right": media_url(slot.lease, "right"),
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
