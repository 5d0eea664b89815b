"""Rounds: the funnel, the runs, the curves, and the next step."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, has_seen, leads_only, visible_rounds
from annotate.core.errors import RoundError
from annotate.core.parts import part_of
from annotate.evaluation.comparison_views import comparison_page
from annotate.evaluation.tables import before_and_after
from annotate.jobs.queries import (
    comparison_with_start,
    done_evaluation,
    done_run,
    dpo_curves,
    other_comparisons,
    progress_of,
    stuck_runs,
)
from annotate.judging import vote_queries
from annotate.loop.background import ADVANCE
from annotate.loop.loop import is_ready_to_train
from annotate.models import LIVE, Round, RoundKind, Run, Stage, User
from annotate.privacy.consent_queries import people_of, refusal, uses_of
from annotate.rounds import queries
from annotate.rounds.funnel_queries import funnels, round_funnel
from annotate.rounds.progress_queries import news_of
from annotate.rounds.rounds import let_choose
from rlhf.plots.pages import Plot, curve

ROUNDS_PER_PAGE = 50
#: Of a round, the newest.
RUNS_SHOWN, EXPORTS_SHOWN = 50, 50


def rounds_shown(user: User, after: str, size: int) -> dict[str, Any]:
    """A part of the rounds with how far each is."""
    part = part_of(visible_rounds(user), after, size)
    by_round = funnels(part.rows)
    return {"part": part, "rounds": [{"round": round, "funnel": by_round[round.pk]} for round in part.rows]}


@leads_only
def round_list(request: SignedInRequest) -> HttpResponse:
    context = rounds_shown(request.user, request.GET.get("after", ""), ROUNDS_PER_PAGE)
    return render(request, "annotate/loop/rounds.html", context)


@leads_only
def round_detail(request: SignedInRequest, round_id: int) -> HttpResponse:
    """The whole page; while a run is live, its `#progress` part is asked for again, and sent when new."""
    news = news_of(round_id)
    if has_seen(request, news):
        return HttpResponse(status=204)
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    if round.kind == RoundKind.COMPARISON:
        return comparison_page(request, round, news)
    template = "annotate/loop/round.html" + ("#progress" if request.htmx else "")
    return render(request, template, _context(round) | {"news": news})


def _context(round: Round) -> dict[str, Any]:
    shown, funnel = list(round.runs.order_by("-id")[:RUNS_SHOWN]), round_funnel(round)
    dpo = next((run for run in shown if run.stage == Stage.DPO), None)
    evaluation = done_evaluation(round)
    stuck, progress = set(stuck_runs(round)), progress_of(shown)
    return {
        "round": round,
        "funnel": funnel,
        "failed_videos": queries.failed_videos(round) if funnel.samples_failed else [],
        "runs": [{"run": run, "progress": progress[run.pk], "can_retry": run in stuck} for run in shown],
        "is_live": any(run.status in LIVE for run in shown),
        "curves": _curves(dpo) if dpo else [],
        "exports": round.exports.select_related("superseded").order_by("-id")[:EXPORTS_SHOWN],
        "evaluation": evaluation,
        "compared": [before_and_after(run) for run in (evaluation, *other_comparisons(round)) if run]
        if evaluation
        else [],
        "since_start": before_and_after(run) if (run := comparison_with_start(round)) else None,
        "tuned": done_run(round, Stage.DPO),
        "pairs": queries.pairs_side_by_side(round, funnel),
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
    return ask_and_follow(request, ADVANCE.name, round, include_simulated=include_simulated, devices=None)


@leads_only
@require_POST
def choosing(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    try:
        let_choose(round, request.POST.get("may_be_chosen") == "on", actor=request.user)
    except RoundError as error:
        messages.error(request, str(error))
    return redirect("round", round_id=round.pk)
