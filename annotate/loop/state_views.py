"""Opening, pausing and closing a round: what that means is read before it is done."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.jobs.sending import send
from annotate.models import RoundState
from annotate.rounds import progress_queries
from annotate.rounds.rounds import set_priority, set_round_state

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
        if state != RoundState.PAUSED:
            send(tasks.send_shards)
        messages.info(request, f"{round} is {done}." if changed else f"{round} was {done} already.")
        return redirect("round", round_id=round.pk)
    context = {
        "round": round,
        "to": state,
        "verb": verb,
        "unfinished": progress_queries.unfinished(round),
    }
    return render(request, "annotate/loop/round_state.html", context)


@leads_only
@require_POST
def round_priority(request: SignedInRequest, round_id: int) -> HttpResponse:
    """Whose videos are made first while GPU workers are scarce."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    given = request.POST.get("priority", "")
    try:
        set_priority(round, int(given) if given.isdecimal() else -1, actor=request.user)
    except RoundError as error:
        messages.error(request, str(error))
    return redirect("round", round_id=round.pk)
