"""Rounds: the funnel, the runs, the curves, and the next step."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.errors import RoundError
from annotate.evaluation.comparison_views import comparison_page
from annotate.jobs.queries import done_evaluation, done_run, dpo_curves, run_progress, stuck_runs
from annotate.judging import vote_queries
from annotate.loop.background import ADVANCE
from annotate.loop.loop import is_ready_to_train
from annotate.models import LIVE, Round, RoundKind, Run, Stage, User
from annotate.privacy.consent_queries import people_of, refusal, uses_of
from annotate.rounds import queries
from annotate.rounds.funnel_queries import funnels, round_funnel
from annotate.rounds.rounds import let_choose
from rlhf.plots.pages import Plot, curve


def waiting_rounds(user: User) -> list[dict[str, Any]]:
    rounds = list(visible_rounds(user))
    by_round = funnels(rounds)
    return [{"round": round, "funnel": by_round[round.pk]} for round in rounds]


@leads_only
def round_list(request: SignedInRequest) -> HttpResponse:
    return render(request, "annotate/loop/rounds.html", {"rounds": waiting_rounds(request.user)})


@leads_only
def round_detail(request: SignedInRequest, round_id: int) -> HttpResponse:
    """The whole page; while a run is live, its `#progress` part is asked for again and again."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    if round.kind == RoundKind.COMPARISON:
        return comparison_page(request, round)
    template = "annotate/loop/round.html" + ("#progress" if request.htmx else "")
    return render(request, template, _context(round))


def _context(round: Round) -> dict[str, Any]:
    shown = list(round.runs.order_by("-id"))
    dpo = next((run for run in shown if run.stage == Stage.DPO), None)
    evaluation = done_evaluation(round)
    stuck = set(stuck_runs(round))
    return {
        "round": round,
        "funnel": round_funnel(round),
        "failed_videos": queries.failed_videos(round),
        "withheld": round.pairs.exclude(prompt_unread="").count(),
        "runs": [{"run": run, "progress": run_progress(run), "can_retry": run in stuck} for run in shown],
        "is_live": any(run.status in LIVE for run in shown),
        "curves": _curves(dpo) if dpo else [],
        "exports": round.exports.select_related("superseded").order_by("-id"),
        "evaluation": evaluation,
        "tuned": done_run(round, Stage.DPO),
        "pairs": queries.pairs_side_by_side(round),
        "left_out": refusal(people_of(round), *uses_of(round)),
        "saved": vote_queries.votes_saved(round),
        "num_unsettled": vote_queries.unsettled_pairs(round).count(),
    }


def _curves(run: Run) -> list[Plot]:
    rows = dpo_curves(run)
    titles = {
        "loss": "Loss (starts at ln 2)",
        "rewards/margins": "Reward margin, chosen minus rejected",
        "rewards/accuracies": "Share of pairs with a positive margin",
    }
    return [
        curve(title, [(row["step"], row[key]) for row in rows if key in row]) for key, title in titles.items()
    ]


@leads_only
@require_POST
def advance(request: SignedInRequest, round_id: int) -> HttpResponse:
    """Take the next step; before a training it is a preview of what would be trained."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    include_simulated = request.POST.get("include_simulated") == "on"
    if is_ready_to_train(round):
        preview = reverse("launch", args=[round.pk])
        return redirect(f"{preview}?include_simulated=on" if include_simulated else preview)
    return ask_and_follow(request, ADVANCE.name, round, include_simulated=include_simulated)


@leads_only
@require_POST
def choosing(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    try:
        let_choose(round, request.POST.get("may_be_chosen") == "on", actor=request.user)
    except RoundError as error:
        messages.error(request, str(error))
    return redirect("round", round_id=round.pk)
