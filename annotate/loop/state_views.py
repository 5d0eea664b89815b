"""Opening, pausing and closing a round: what that means is read before it is done."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.models import RoundState
from annotate.rounds import progress_queries
from annotate.rounds.rounds import set_round_state

#: What a lead asks for, and what the round is afterwards.
VERBS = {
    RoundState.OPEN: ("Reopen", "open"),
    RoundState.PAUSED: ("Pause", "paused"),
    RoundState.CLOSED: ("Close", "closed"),
}


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def round_state(request: SignedInRequest, round_id: int) -> HttpResponse:
    """GET says what would happen and changes nothing; POST does it."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    given = (request.POST if request.method == "POST" else request.GET).get("to", "")
    if given not in RoundState.values:
        raise Http404
    state = RoundState(given)
    verb, done = VERBS[state]
    if request.method == "POST":
        changed = set_round_state(round, state, request.user)
        messages.info(request, f"{round} is {done}." if changed else f"{round} was {done} already.")
        return redirect("round", round_id=round.pk)
    context = {
        "round": round,
        "to": state,
        "verb": verb,
        "unfinished": progress_queries.unfinished(round),
    }
    return render(request, "annotate/loop/round_state.html", context)
