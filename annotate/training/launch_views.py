"""Launching a DPO run: a preview first, then the launch of exactly what it showed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.jobs.queries import live_run
from annotate.models import Round, Stage
from annotate.training import queries as launch_queries
from annotate.training.background import LAUNCH
from annotate.training.launches import launch_dpo, refuse_launch
from annotate.training.preview import Preview, dry_run
from annotate.training.queries import PairSet
from annotate.training.setting_fields import setting_fields
from rlhf.dpo.config import FlowDPOConfig
from rlhf.export.rule import ExportRule

#: By what a pair's video is the chosen one; of the votes as they are now.
RULES = {
    ExportRule.PARETO: "better on both tracks",
    ExportRule.IDENTITY: "the identity track alone",
    ExportRule.CONTROLLABILITY: "the controllability track alone",
    ExportRule.POOLED: "most votes, both tracks in one heap",
}
#: What most launches change; the other settings wait behind a fold.
FIRST = (
    "beta",
    "learning_rate",
    "steps",
    "batch_size",
    "accumulation",
    "devices",
    "rank",
    "alpha",
    "guard",
    "held_out",
    "evaluate_every",
    "sample_every",
)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: SignedInRequest, round_id: int) -> HttpResponse:
    """GET shows the preview and starts nothing; POST launches what it showed."""
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    given = request.POST if request.method == "POST" else request.GET
    exports = launch_queries.usable_exports(request.user, round)
    include_simulated = given.get("include_simulated") == "on"
    chosen_export = given.get("export", "")
    export = next((export for export in exports if str(export.pk) == chosen_export), None)
    wanted_rule = given.get("rule") or str(ExportRule.PARETO)
    if (chosen_export and export is None) or wanted_rule not in RULES:
        raise Http404
    chosen = launch_queries.pair_set(
        round, export, include_simulated=include_simulated, rule=ExportRule(wanted_rule)
    )
    preview, problem = None, ""
    try:
        preview = dry_run(round, chosen, given.dict())
        if request.method == "POST":
            return _launch(request, round, chosen, preview)
    except (RoundError, ValueError) as error:
        problem = str(error)
    context = {
        "round": round,
        "exports": exports,
        "export": export,
        "include_simulated": include_simulated,
        "rules": RULES,
        "rule": chosen.rule,
        "preview": preview,
        "problem": problem,
        "live": live_run(round, Stage.DPO),
        "approve": settings.APPROVE_ROUNDS,
        "measure": f"at {round.sampler.get('width')}×{round.sampler.get('height')}",
        **_fields(round, preview, given),
    }
    template = "annotate/training/launch.html" + ("#preview" if request.htmx else "")
    return render(request, template, context, status=422 if problem else 200)


def _launch(request: SignedInRequest, round: Round, chosen: PairSet, preview: Preview) -> HttpResponse:
    """On an export at once; on the votes as they are now by a job, which freezes them first."""
    seen, accepted = request.POST.get("seen", ""), request.POST.get("accepted") == "on"
    if chosen.export is None:
        refuse_launch(round, preview, seen=seen, accepted=accepted)
        form = {name: value for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}
        return ask_and_follow(request, LAUNCH.name, round, form=form, rule=str(chosen.rule))
    run = launch_dpo(
        round,
        chosen,
        preview,
        seen=seen,
        accepted=accepted,
        include_simulated=request.POST.get("include_simulated") == "on",
        actor=request.user,
    )
    tasks.send_run(run)
    return redirect("run", run_id=run.pk)


def _fields(round: Round, preview: Preview | None, given: QueryDict) -> dict[str, Any]:
    """The settings as they were tried; a form that could not be read shows what was typed."""
    return setting_fields(preview.config if preview else FlowDPOConfig.from_json(round.dpo), given, FIRST)
