"""A user study as a participant sees it: one pair, four criteria, no way to tell whose videos they are."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html

from annotate.core.files import media_view, requester, stored_file
from annotate.database import moments
from annotate.judging.pair_views import PairPage
from annotate.models import Entry, StudyAnswer, StudyTask
from annotate.studies import queries as study_queries
from annotate.studies.answers import STUDY_CHOICES, StudyAnswerOnPage, submit_answer
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
    return stored_file(request, study_queries.shown_file(task, name) if task else None)
