"""Stage 5: one pair, one track, one person."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from annotate.core.files import Lease, media_view, requester, stored_file
from annotate.database import moments
from annotate.gold.qualification_queries import standing_of
from annotate.judging import queries as judging_queries
from annotate.judging.answer_schema import PROMPT_UNCLEAR, REASONS, WHY, JudgmentOnPage
from annotate.judging.assignment_queries import own_entries, why_no_pair
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.judging.pair_views import PairPage
from annotate.judging.slots import lease_slot
from annotate.judging.tracks import judging_task, said_on_screen, shown_file
from annotate.models import Judgment, Slot
from rlhf.records import CHOICES, VERDICTS, Track, choice_of


class JudgingPage(PairPage[Slot]):
    schema = JudgmentOnPage()
    template = "annotate/judging/judge.html"
    offered = CHOICES
    media = "leased_media"

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.track: Track = kwargs["track"]
        self.guidelines = guidelines_of(self.track)

    def get(self, request: HttpRequest, **_: Any) -> HttpResponse:
        return self._undo() if self.wanted["undo"] else super().get(request)

    def find(self, ahead_of: UUID | None) -> Slot | None:
        return lease_slot(self.request.user, self.track, ahead_of=ahead_of)

    def store(self, lease: UUID, fields: dict[str, Any]) -> None:
        give = revise_judgment if self.wanted["revises"] else submit_judgment
        give(self.request.user, lease, fields.pop("choice"), **fields)

    def refuse(self, stands: Judgment, sent: dict[str, Any]) -> HttpResponse:
        """Another answer to the pair stands: say so, and offer to change it to the one that came now."""
        stood = choice_of(stands.verdict, first_on_left=stands.slot.first_on_left)
        was, now = (CHOICES[choice].data.words for choice in (stood, sent["choice"]))
        when = moments.element(stands.created_at)
        changeable = judging_queries.changeable_judgment(self.request.user, self.track, sent["lease"])
        if changeable is None:
            problem = format_html(
                "Your answer “{}” was not stored: this pair has your answer “{}” of {}, which can no longer "
                "be changed.",
                now,
                was,
                when,
            )
            return self.page(problem=problem, status=409)
        offer = f"makes it “{now}”" if now != was else "adds what is new in this one"
        problem = format_html(
            "This pair has your answer “{}” of {}, and it stands. Enter {}, Esc keeps it.", was, when, offer
        )
        return self.show(changeable.slot, sent, problem=problem, status=409, revises=changeable)

    def _undo(self) -> HttpResponse:
        """The person's last answer while it can be changed; without one, a program gets 204."""
        last = judging_queries.changeable_judgment(self.request.user, self.track)
        if last is not None:
            return self.show(last.slot, said_on_screen(last), revises=last)
        if self.request.htmx:
            return HttpResponse(status=204)
        return self.page(problem="There is no answer of yours that can still be changed.")

    def context(self, pair: Slot | None, said: dict[str, Any]) -> dict[str, Any]:
        user, track = self.request.user, self.track
        return {
            "track": track,
            "answers": sorted(
                VERDICTS.values(), key=lambda data: -1 if data.score is None else data.score, reverse=True
            ),
            "reasons": [r for r in REASONS if track == Track.CONTROLLABILITY or r != PROMPT_UNCLEAR],
            "why": WHY[track],
            "watch": settings.WATCH_GATE[track],
            "own": judging_queries.num_judged_by(user, track),
            "said": said | {"breaks": json.dumps(said.get("breaks") or [])},
            "standing": None if pair else standing_of(user, track),
            "no_pair": None if pair else why_no_pair(user, track),
            "entry": own_entries(user).first() if user.is_participant else None,
        }

    def task(self, pair: Slot) -> dict[str, Any]:
        task, sampled = judging_task(pair, as_leased=True), pair.pair.first.settings
        return {
            "references": [
                self.reference(pair, shown.name, is_clip=shown.reference.is_clip) for shown in task.references
            ],
            "statements": task.statements,
            # Both videos have them alike; frame steps are exact because nothing is guessed in the browser.
            "fps": sampled["fps"],
            "num_frames": sampled["num_frames"],
        }


def guidelines_of(track: Track) -> str:
    return f"annotate/judging/_guidelines_{track}.html"


def media_url(lease: UUID, name: str) -> str:
    """An annotator's address of a file: a random lease and a place on the page (`left`, `reference-0`).

    Nothing in it, nor in a header, says which model, seed, sample or file it is. Leads look at rows by
    number, under their own addresses.
    """
    return reverse("leased_media", args=[lease, name])


@media_view
def leased_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    slot = judging_queries.held_slot(requester(request), lease)
    if slot is None:
        raise Http404
    time_left = int(slot.time_left.total_seconds())
    return stored_file(request, shown_file(slot, name), Lease(f"{lease}/{name}", time_left))
