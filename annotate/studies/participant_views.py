"""A user study as a participant sees it: one pair, four criteria, no way to tell whose videos they are."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotate.core.access import SignedInRequest, signed_in
from annotate.core.files import Lease, media_view, requester, stored_file
from annotate.database import moments
from annotate.judging.answer_schema import NotWatchedError, TooSoonError, read_form
from annotate.judging.judgments import LeaseLostError
from annotate.judging.views import INCOMPLETE_LINK, page_context
from annotate.models import Entry, Side, StudyTask
from annotate.studies import queries as study_queries
from annotate.studies.answers import STUDY_CHOICES, AlreadyAnsweredError, StudyAnswerOnPage, submit_answer
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import CHOICES

#: What each criterion asks for, in a few words.
ASKS = {
    Criterion.IDENTITY_FIDELITY: "the same person",
    Criterion.PROMPT_CONTROLLABILITY: "the changes",
    Criterion.ELEMENT_CONSISTENCY: "things as asked",
    Criterion.VISUAL_QUALITY: "sharp, natural",
}


#: Each choice on its button.
BUTTONS = {"left": "Left", "tie": "Same", "right": "Right"}
_ANSWER = StudyAnswerOnPage()


class Wanted(forms.Form):
    ahead_of = forms.UUIDField(required=False)


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def study_page(request: SignedInRequest, study_id: int) -> HttpResponse:
    entry = study_queries.entry_of(request.user, study_id)
    if entry is None:
        raise Http404
    wanted = Wanted(request.POST if request.method == "POST" else request.GET)
    if not wanted.is_valid():
        return _page(request, entry, problem=INCOMPLETE_LINK, status=422)
    ahead_of = wanted.cleaned_data["ahead_of"]
    if request.method == "POST":
        return _answer(request, entry, ahead_of)
    return _page(request, entry, ahead_of=ahead_of)


def _answer(request: SignedInRequest, entry: Entry, ahead_of: UUID | None) -> HttpResponse:
    """Store an answer; a program gets the pair that follows, ahead of the one that it shows by now."""
    sent, problem = read_form(_ANSWER, request.POST)
    if problem:
        return _page(request, entry, problem=problem, status=422, sent=sent)
    fields = dict(sent)
    choices: dict[str, str] = {criterion: fields.pop(criterion) for criterion in Criterion}
    try:
        submit_answer(request.user, fields.pop("lease"), choices, **fields)
    except AlreadyAnsweredError as error:
        # The Back button or a second tab. What says the same was not lost, and the next pair follows.
        if not error.is_same:
            stands = format_html(
                "Your answer was not stored: the one that you gave this pair on {} stands. "
                "In a study answers are given once.",
                moments.element(error.answer.created_at),
            )
            return _page(request, entry, problem=stands, status=409)
    except LeaseLostError as lost:
        return _page(request, entry, problem=f"Your answer was not stored: {lost}.", status=409)
    except (NotWatchedError, TooSoonError, ValueError) as why:
        problem = f"Your answer was not stored: {why}."
        return _page(request, entry, problem=problem, status=422, sent=sent)
    if not request.htmx:
        return redirect("study_page", study_id=entry.link.study.pk)
    return _page(request, entry, ahead_of=ahead_of)


def _page(
    request: SignedInRequest,
    entry: Entry,
    *,
    problem: str = "",
    status: int = 200,
    ahead_of: UUID | None = None,
    sent: dict[str, Any] | None = None,
) -> HttpResponse:
    """The participant's next pair, or the one after `ahead_of` (204 where there is none).

    `sent` is an answer that was not stored. It is kept for its pair.
    """
    task = study_queries.next_task(entry, ahead_of=ahead_of)
    if task is None and ahead_of:
        return HttpResponse(status=204)
    study = entry.link.study
    said = sent if sent and task and task.lease == sent.get("lease") else {}
    context = {
        **page_context("annotate/studies/_guidelines_study.html", STUDY_CHOICES),
        "study": study,
        "entry": entry,
        "problem": problem,
        "criteria": [{"name": c, "label": c.label, "asks": ASKS[c], "said": said.get(c)} for c in Criterion],
        "buttons": [(choice, label, CHOICES[choice].data.key) for choice, label in BUTTONS.items()],
        "note": said.get("note", ""),
        "watch": max(settings.WATCH_GATE.values()),
        "own": study_queries.num_answered(request.user, study),
        "wanted": study.pairs_per_person,
        "task": _shown(task, study.form) if task and study.form else None,
        "sides": [{"name": side.value, "label": side.label, "url": _media_url(task, side)} for side in Side]
        if task
        else [],
    }
    template = "annotate/studies/study_page.html" + ("#task" if request.htmx else "")
    return render(request, template, context, status=status)


def _media_url(task: StudyTask, name: str) -> str:
    return reverse("study_media", args=[task.lease, name])


def _shown(task: StudyTask, form: dict[str, Any]) -> dict[str, Any]:
    """A pair in the words of the page."""
    asked = task.pair.first.input
    return {
        "lease": task.lease,
        "idempotency_key": uuid4(),
        "references": [
            {
                "url": _media_url(task, f"reference-{number}"),
                "poster": _media_url(task, f"reference-{number}.poster"),
                "name": shown["name"],
                "is_clip": shown["is_clip"],
            }
            for number, shown in enumerate(asked.shown)
        ],
        "statements": asked.statements,
        # All videos have them alike; frame steps are exact because nothing is guessed in the browser.
        "fps": form["fps"],
        "num_frames": form["num_frames"],
    }


@media_view
def study_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    task = study_queries.held_task(requester(request), lease, to_look=True)
    path = study_queries.shown_file(task, name) if task else None
    if path is None:
        raise Http404
    # A pair of a study is its participant's until they have taken part; an address of it is not.
    return stored_file(request, path, Lease(f"{lease}/{name}", settings.LEASE_S))
