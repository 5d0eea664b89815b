"""Comparisons of a model with its parent by people: opened from a round's page, read on their own."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotate.core.access import SignedInRequest, leads_only, visible_runs
from annotate.core.errors import RoundError
from annotate.evaluation import comparison_queries
from annotate.evaluation.comparisons import start_comparison
from annotate.jobs import tasks
from annotate.models import LIVE, Round, Run
from annotate.rounds import queries
from annotate.rounds.funnel_queries import round_funnel
from annotate.rounds.sampling import queue_sampling


@leads_only
@require_POST
def start(request: SignedInRequest, run_id: int) -> HttpResponse:
    run: Run = get_object_or_404(visible_runs(request.user), pk=run_id, model_version__isnull=False)
    try:
        round = start_comparison(run.model_version, request.user)
    except RoundError as error:
        messages.error(request, str(error))
        return redirect("round", round_id=run.round_id)
    tasks.send_run(queue_sampling(round, request.user))
    return redirect("round", round_id=round.pk)


def comparison_page(request: SignedInRequest, round: Round, news: str) -> HttpResponse:
    """The page of a round that compares; while a run is live, its `#progress` part is asked for again."""
    template = "annotate/evaluation/comparison.html" + ("#progress" if request.htmx else "")
    return render(request, template, _context(round) | {"news": news})


def _context(round: Round) -> dict[str, Any]:
    runs, funnel = list(round.runs.order_by("-id")), round_funnel(round)
    # Simulated annotators stand in where nobody judged, and the page says so.
    is_simulated = not comparison_queries.has_votes_of_people(round)
    return {
        "round": round,
        "funnel": funnel,
        "failed_videos": queries.failed_videos(round) if funnel.samples_failed else [],
        "runs": runs,
        "is_live": any(run.status in LIVE for run in runs),
        "results": comparison_queries.track_results(round, is_simulated=is_simulated),
        "is_simulated": is_simulated,
    }
