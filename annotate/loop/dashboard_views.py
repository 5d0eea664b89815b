"""A round in numbers: what came through, how fast, and how far people agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.judging import vote_queries
from annotate.models import Round
from annotate.quality import queries as quality_queries
from annotate.quality.tasks import send_figures
from annotate.quality.vote_statistics import FIGURES_VERSION
from annotate.rounds import progress_queries
from annotate.rounds.funnel_queries import round_funnel
from rlhf.plots.pages import Parts, bars, parts
from rlhf.records import CHOICES, Track, Verdict

#: Agreement -> how it is to be read.
AGREEMENT = {
    "alpha": ("Krippendorff's alpha", "1 is full agreement, 0 is chance; falls when one verdict is common"),
    "ac1": ("Gwet's AC1", "the same, and holds when one verdict is common"),
    "raw": ("Raw agreement", "how often two votes on a pair are equal; leaves chance in"),
}


@leads_only
@require_safe
def dashboard(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    return render(request, "annotate/loop/dashboard.html", {"round": round, **_live(round)})


def _live(round: Round) -> dict[str, Any]:
    days = progress_queries.votes_by_day(round)
    funnel = round_funnel(round)
    return {
        "funnel": funnel,
        "votes_per_dominant_pair": progress_queries.votes_per_dominant_pair(funnel),
        "pace": progress_queries.pace(round, funnel),
        "days": [
            bars(track.label, "votes per day", [(f"{day:%-d %b}", count) for day, count in counts])
            for track, counts in days.items()
        ],
        "kinds": [_kind(round, is_simulated=is_simulated) for is_simulated in (False, True)],
        "flags": quality_queries.open_flags(round),
    }


def _kind(round: Round, *, is_simulated: bool) -> dict[str, Any]:
    """Of people or of simulated annotators: what is stored, and whether votes have come since."""
    stored = quality_queries.newest_figures(round, is_simulated=is_simulated)
    now = vote_queries.digest_of_votes(round, is_simulated=is_simulated, version=FIGURES_VERSION)
    return {
        "is_simulated": is_simulated,
        "has_votes": vote_queries.has_votes(round, is_simulated=is_simulated),
        "stored": stored,
        "is_old": stored is not None and stored.inputs_hash != now,
        "tracks": [_track(track, stored.figures[str(track)]) for track in Track] if stored else [],
    }


def _track(track: Track, figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "track": track,
        "agreement": [
            {
                "title": title,
                "hint": hint,
                "figure": figures["agreement"][name],
                "level": None if name == "raw" else 0.0,
            }
            for name, (title, hint) in AGREEMENT.items()
        ],
        "verdicts": _parts("Verdicts", figures["verdicts"], Verdict),
        "answers": _parts("Answers by side", figures["answers"], CHOICES),
    }


def _parts(title: str, counts: Mapping[str, int], names: Iterable[str]) -> Parts:
    return parts(title, {name.replace("_", " "): counts.get(name, 0) for name in names})


@leads_only
@require_POST
def compute(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    send_figures(round)
    messages.info(request, "A worker computes the figures. Reload the page in a moment.")
    return redirect("dashboard", round_id=round.pk)
