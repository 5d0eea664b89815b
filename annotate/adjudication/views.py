"""Pairs that the votes left open, for a lead to decide."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from annotate.adjudication.adjudication import AdjudicationError, adjudicate, take_back
from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.parts import MAX_COUNTED, Order, counted, part_of
from annotate.judging import vote_queries
from annotate.models import VideoPair
from annotate.people.queries import statements_of
from rlhf.records import Track, Verdict

PAIRS_PER_PAGE = 50
OLDEST: Order = {"pair_id": int}
MAX_NOTE = 1000


@leads_only
@require_safe
def queue(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    open_pairs = vote_queries.unsettled_pairs(round)
    context = {
        "round": round,
        "part": part_of(open_pairs, request.GET.get("after", ""), PAIRS_PER_PAGE, OLDEST),
        "number": counted(open_pairs),
        "most": MAX_COUNTED,
        "decided": vote_queries.adjudicated_pairs(round)[:PAIRS_PER_PAGE],
    }
    return render(request, "annotate/adjudication/adjudication.html", context)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def pair(request: SignedInRequest, pair_id: int) -> HttpResponse:
    pair = get_object_or_404(vote_queries.visible_pairs(request.user), pk=pair_id)
    if request.method != "POST":
        return render(request, "annotate/adjudication/adjudicate.html", _context(request, pair))
    try:
        if "take_back" in request.POST:
            take_back(pair, request.user)
        else:
            verdicts, note = _word(request.POST.dict())
            adjudicate(pair, verdicts, note, request.user)
    except ValueError as error:
        context = _context(request, pair) | {"problem": str(error), "values": request.POST}
        return render(request, "annotate/adjudication/adjudicate.html", context, status=422)
    messages.info(request, f"{pair} is {'left to its votes' if 'take_back' in request.POST else 'decided'}.")
    return redirect("adjudication", round_id=pair.round_id)


def _word(given: dict[str, str]) -> tuple[dict[Track, Verdict], str]:
    """What the form says.

    Raises:
        AdjudicationError: a track has no verdict, or the note is too long.
    """
    for track in Track:
        if given.get(track) not in list(Verdict):
            known = ", ".join(verdict.label for verdict in Verdict)
            raise AdjudicationError(f"{track} is {given.get(track, '')!r}; choose one of: {known}")
    note = given.get("note", "").replace("\0", "").strip()
    if len(note) > MAX_NOTE:
        raise AdjudicationError(f"the note has {len(note)} characters; {MAX_NOTE} are allowed")
    return {track: Verdict(given[track]) for track in Track}, note


def _context(request: SignedInRequest, pair: VideoPair) -> dict[str, Any]:
    return {
        "pair": pair,
        "may_decide": vote_queries.may_adjudicate(request.user, pair),
        "references": pair.instance.places.exclude(position=None).select_related("reference"),
        "statements": statements_of(pair.instance),
        "votes": {track: vote_queries.vote_counts(pair, track) for track in Track},
        "words": pair.adjudications.select_related("author").order_by("-id"),
        "verdicts": list(Verdict),
        "tracks": list(Track),
    }
