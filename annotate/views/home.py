from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from annotate import judging_queries, queries
from annotate.views.access import SignedInRequest, signed_in
from annotate.views.rounds import waiting_rounds
from rlhf.records import Track


@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    user = request.user
    counts = judging_queries.own_counts(user)
    context: dict[str, Any] = {
        "tracks": [
            {
                "track": track,
                "own": counts[str(track)],
                "open": judging_queries.open_slots_for(user, track),
            }
            for track in Track
        ],
        "most_counted": judging_queries.MOST_COUNTED,
    }
    if user.is_lead:
        context |= {"rounds": waiting_rounds(user), "num_people": queries.people().count()}
    return render(request, "annotate/home.html", context)
