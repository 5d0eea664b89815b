"""Gold for leads: what there is and how people do on it; for annotators, their last try at a track."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, leads_only, signed_in, visible_rounds
from annotate.gold import queries as gold_queries
from annotate.gold.background import MAKE_GOLD
from annotate.gold.gold import retire
from annotate.gold.qualification_queries import missed_pairs, standing_of
from annotate.models import GoldPair
from annotate.people.queries import statements_of
from rlhf.records import Track


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def gold(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    if request.method == "POST":
        return ask_and_follow(request, MAKE_GOLD.name, round)
    rows = gold_queries.gold_items(round)
    context = {
        "round": round,
        "rows": [row for row in rows if not row.gold.is_training],
        "qualify": settings.QUALIFY,
        "num_training": sum(row.gold.is_training for row in rows),
        "repeats": gold_queries.repeats_of(round),
    }
    return render(request, "annotate/gold/gold.html", context)


@leads_only
@require_POST
def gold_retire(request: SignedInRequest, gold_id: int) -> HttpResponse:
    item = get_object_or_404(GoldPair.objects.select_related("pair"), pk=gold_id)
    if not retire(item, request.user):
        messages.error(request, "It was retired already.")
    return redirect("gold", round_id=item.pair.round_id)


@signed_in
@require_safe
def qualification(request: SignedInRequest, track: Track) -> HttpResponse:
    """What was expected of the training pairs that were missed. They are nobody's working gold."""
    standing = standing_of(request.user, track)
    if standing.last is None:
        raise Http404
    context = {
        "track": track,
        "standing": standing,
        "missed": [
            {
                "said": said,
                "expected": (item.pair.gold_verdicts or {})[track],
                "kind": item.kind,
                "statements": statements_of(item.pair.instance) if track == Track.CONTROLLABILITY else (),
            }
            for item, said in missed_pairs(standing.last)
        ],
    }
    return render(request, "annotate/gold/qualification.html", context)
