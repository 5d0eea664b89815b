from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from annotate.core.access import SignedInRequest, signed_in
from annotate.gold.qualification_queries import standing_of
from annotate.judging import queries as judging_queries
from annotate.judging.assignment_queries import MAX_COUNTED, open_pairs_for, own_entries
from annotate.loop.views import rounds_shown
from annotate.tallies.queries import counts_of_site
from rlhf.records import Track

#: The newest ones, with the way to the others.
NEWEST_ROUNDS = 10


@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    user = request.user
    if user.is_participant:
        entry = own_entries(user).select_related("link").first()
        if entry is None:
            raise Http404
        return redirect("entry", token=entry.link.token)
    counts = judging_queries.own_counts(user)
    context: dict[str, Any] = {
        "tracks": [
            {
                "track": track,
                "own": counts[str(track)],
                "open": open_pairs_for(user, track),
                "standing": standing_of(user, track),
            }
            for track in Track
        ],
        "leads_may_vote": settings.LEADS_MAY_VOTE,
        "most_counted": MAX_COUNTED,
    }
    if user.is_lead:
        context |= {**rounds_shown(user, "", NEWEST_ROUNDS), "num_people": counts_of_site()["people"]}
    return render(request, "annotate/loop/home.html", context)
