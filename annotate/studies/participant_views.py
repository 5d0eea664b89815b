"""A study as people of a crowd platform see it: agree, judge, finish, take the code."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotate.core.files import Lease, media_view, requester, stored_file
from annotate.database import moments
from annotate.judging.assignment_queries import own_entries
from annotate.judging.pair_views import PairPage
from annotate.models import Entry, EntryLink, Study, StudyAnswer, StudyTask, User
from annotate.studies import entries
from annotate.studies import queries as study_queries
from annotate.studies.answers import STUDY_CHOICES, StudyAnswerOnPage, submit_answer
from annotate.studies.entries import EntryRefusedError
from annotate.studies.queries import find_link
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


class StudyPage(PairPage[StudyTask]):
    schema = StudyAnswerOnPage()
    template = "annotate/studies/study_page.html"
    guidelines = "annotate/studies/_guidelines_study.html"
    offered = STUDY_CHOICES
    media = "study_media"

    @cached_property
    def entry(self) -> Entry:
        entry = study_queries.entry_of(self.request.user, self.kwargs["study_id"])
        if entry is None:
            raise Http404
        return entry

    def find(self, ahead_of: UUID | None) -> StudyTask | None:
        return study_queries.next_task(self.entry, ahead_of=ahead_of)

    def store(self, lease: UUID, fields: dict[str, Any]) -> None:
        choices: dict[str, str] = {criterion: fields.pop(criterion) for criterion in Criterion}
        submit_answer(self.entry.participant.account, lease, choices, **fields)

    def refuse(self, stands: StudyAnswer, sent: dict[str, Any]) -> HttpResponse:
        problem = format_html(
            "Your answer was not stored: the one that you gave this pair on {} stands. "
            "In a study answers are given once.",
            moments.element(stands.created_at),
        )
        return self.page(problem=problem, status=409)

    def context(self, pair: StudyTask | None, said: dict[str, Any]) -> dict[str, Any]:
        study = self.entry.link.study
        return {
            "study": study,
            "entry": self.entry,
            "criteria": [
                {"name": c, "label": c.label, "asks": ASKS[c], "said": said.get(c)} for c in Criterion
            ],
            "buttons": [(choice, label, CHOICES[choice].data.key) for choice, label in BUTTONS.items()],
            "said": said,
            "watch": max(settings.WATCH_GATE.values()),
            "own": study_queries.num_answered(self.request.user, study),
            "wanted": study.pairs_per_person,
        }

    def task(self, pair: StudyTask) -> dict[str, Any]:
        asked, form = pair.pair.first.input, self.entry.link.study.form
        assert form is not None, "an open study has its form"
        return {
            "references": [
                self.reference(pair, f"reference-{number}", is_clip=shown["is_clip"], name=shown["name"])
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
    if task is None:
        raise Http404
    # A pair of a study is its participant's until they have taken part; an address of it is not.
    lease_of_file = Lease(f"{lease}/{name}", settings.LEASE_S)
    return stored_file(request, study_queries.shown_file(task, name), lease_of_file)


#: Participants have no password; their session is the only way in.
_BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """The terms; for somebody who is in, how far they are. Nobody is let in by a mere click on a link."""
    link = _link(token)
    external_id = (request.POST or request.GET).get(link.id_parameter, "").strip()
    entry = _own_entry(request, link, external_id)
    if entry is not None:
        return _entered(request, link, entry)
    try:
        entries.check_external_id(external_id)
        if request.method == "POST":
            entry = entries.enter(link, external_id)
            login(request, entry.participant.account, backend=_BACKEND)
            return redirect(_begin_url(link))
        if not link.entries.filter(participant__external_id=external_id).exists():
            entries.check_open(link)
    except EntryRefusedError as refused:
        context = {"link": link, "refused": refused, "external_id": external_id}
        return render(request, "annotate/studies/entry.html", context, status=403)
    context = {"link": link, "external_id": external_id}
    return render(request, "annotate/studies/entry.html", context)


@never_cache
@require_POST
def finish(request: HttpRequest, token: str) -> HttpResponse:
    link = _link(token)
    entry = _own_entry(request, link, "")
    if entry is None:
        raise Http404
    if not entries.finish(entry):
        return redirect(_begin_url(link))
    return redirect("entry", token=token)


@never_cache
@require_POST
def decline(request: HttpRequest, token: str) -> HttpResponse:
    """Who does not agree leaves no trace here."""
    link = _link(token)
    if _own_entry(request, link, "") is not None:
        logout(request)
    return render(request, "annotate/studies/entry.html", {"link": link, "declined": True})


def _link(token: str) -> EntryLink:
    link = find_link(token)
    if link is None:
        raise Http404
    return link


def _begin_url(link: EntryLink) -> str:
    """The address at which its people judge."""
    work = link.work
    if isinstance(work, Study):
        return reverse("study_page", args=[work.pk])
    return reverse("judge", args=[work.track])


def _own_entry(request: HttpRequest, link: EntryLink, external_id: str) -> Entry | None:
    """The entry of whoever is signed in, unless the address names somebody else."""
    if not isinstance(request.user, User) or not request.user.is_participant:
        return None
    own = own_entries(request.user).filter(link=link).first()
    if own is None or (external_id and own.participant.external_id != external_id):
        return None
    return own


def _entered(request: HttpRequest, link: EntryLink, entry: Entry) -> HttpResponse:
    context = {
        "link": link,
        "entry": entry,
        "progress": entries.progress(entry),
        "begin_url": _begin_url(link),
    }
    return render(request, "annotate/studies/entry.html", context)
