"""Pages of pairs and votes: what was said of each, by whom, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from annotate.background.views import look
from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.parts import Order, counted, part_of
from annotate.judging.vote_queries import visible_pairs
from annotate.models import Job, Slot, User
from annotate.people.queries import statements_of
from annotate.review import queries
from annotate.review.background import LOOK
from annotate.review.csv_files import (
    MAX_ROWS,
    PAIR_COLUMNS,
    VOTE_COLUMNS,
    csv_response,
    pair_rows,
    vote_rows,
)
from rlhf.records import JointState, Track

ROWS_PER_PAGE = 50
BY_NUMBER: Order = {"pk": int}
LAST_GIVEN: Order = {"-judged_at": datetime, "-pk": int}


@leads_only
@require_safe
def pair_list(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    wanted = request.GET.get("number", "").strip()
    if wanted.isdecimal() and len(wanted) < 19 and round.pairs.filter(pk=int(wanted)).exists():
        return redirect("pair", pair_id=int(wanted))
    state = request.GET.get("state", "")
    pairs = queries.pairs_of(round, state)
    if _wants_csv(request):
        part = part_of(pairs.select_related("first", "second"), _after(request), MAX_ROWS, BY_NUMBER)
        return csv_response(f"pairs-of-round-{round.pk}", PAIR_COLUMNS, pair_rows(part.rows))
    context = {
        "round": round,
        "state": state,
        "states": list(JointState),
        "wanted": wanted,
        "part": part_of(pairs, _after(request), ROWS_PER_PAGE, BY_NUMBER),
    }
    return render(request, "annotate/review/pairs.html", context)


@leads_only
@require_safe
def pair_detail(request: SignedInRequest, pair_id: int) -> HttpResponse:
    pairs = visible_pairs(request.user).select_related("first__model_version", "second__model_version")
    pair = get_object_or_404(pairs, pk=pair_id)
    slots = list(pair.slots.select_related("annotator", "pair").order_by("judged_at", "pk"))
    votes = queries.given_votes([slot for slot in slots if slot.judged_at is not None])
    consensuses = {found.track: found for found in pair.consensuses.all()}
    before, after = queries.neighbours(pair)
    preference = getattr(pair, "preference", None)
    context = {
        "pair": pair,
        "samples": [("first", pair.first), ("second", pair.second)],
        "preference": preference,
        "before": before,
        "after": after,
        "places": pair.instance.places.select_related("reference").order_by("position"),
        "statements": statements_of(pair.instance),
        "tracks": [
            {
                "track": track,
                "consensus": consensuses.get(track),
                "votes": [vote for vote in votes if vote.slot.track == track],
            }
            for track in Track
        ],
        "exports": list(queries.exports_with(preference)) if preference else [],
        "open_slots": sum(slot.judged_at is None for slot in slots),
        "why_not": queries.why_not_exported(pair),
        "adjudications": pair.adjudications.select_related("author").order_by("-id"),
    }
    return render(request, "annotate/review/pair.html", context)


@leads_only
@require_safe
def votes_of_round(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    track = request.GET.get("track", "")
    slots = queries.votes_of(round=round, track=track)
    return _votes(request, slots, f"votes-of-round-{round.pk}", {"round": round, "track": track})


@leads_only
@require_safe
def votes_of_annotator(request: SignedInRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(User, pk=user_id)
    track, only = request.GET.get("track", ""), request.GET.get("only", "")
    slots = queries.votes_of(annotator=person, track=track, only=only)
    context = {"person": person, "track": track, "only": only, "ways": queries.ONLY}
    return _votes(request, slots, f"votes-of-annotator-{person.pk}", context)


def _votes(
    request: SignedInRequest, slots: QuerySet[Slot], name: str, context: dict[str, Any]
) -> HttpResponse:
    """A page of votes, or the file that begins with its first one."""
    is_file = _wants_csv(request)
    part = part_of(slots, _after(request), MAX_ROWS if is_file else ROWS_PER_PAGE, LAST_GIVEN)
    votes = queries.given_votes(part.rows)
    if is_file:
        return csv_response(name, VOTE_COLUMNS, vote_rows(votes))
    context = context | {"tracks": list(Track), "part": part, "votes": votes}
    return render(request, "annotate/review/votes.html", context)


def _after(request: SignedInRequest) -> str:
    return request.GET.get("after", "")


def _wants_csv(request: SignedInRequest) -> bool:
    return request.GET.get("format") == "csv"


@leads_only
@require_safe
def notes(request: SignedInRequest, round_id: int) -> HttpResponse:
    """Reasons of a round, counted, and every note."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    reason = request.GET.get("reason", "").replace("\0", "")
    is_quick = counted(queries.told_in(round)) <= queries.QUICK_NOTES
    found = look(request, LOOK, round, is_quick=is_quick)
    told = part_of(queries.told_in(round, reason), _after(request), ROWS_PER_PAGE)
    context = {
        "round": round,
        "reason": reason,
        "reasons": None if isinstance(found, Job) else found["reasons"],
        "looking": found if isinstance(found, Job) else None,
        "part": told,
    }
    return render(request, "annotate/review/notes.html", context)
