"""Launching a DPO run: a preview first, then the launch of exactly what it showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods

from annotate.background.views import ask_and_follow, look
from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.errors import RoundError
from annotate.jobs.queries import live_run
from annotate.models import Export, Job, Round, Stage
from annotate.training import queries as launch_queries
from annotate.training.background import LAUNCH, LOOK
from annotate.training.launches import refuse_launch
from annotate.training.preview import Preview, dry_run
from annotate.training.queries import Looked
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
    wanted = _wanted(given, exports)
    found = look(
        request, LOOK, round, is_quick=launch_queries.is_quick(round, wanted.export), **wanted.values
    )
    looking = found if isinstance(found, Job) else None
    preview, problem = None, ""
    try:
        if not isinstance(found, Job):
            preview = dry_run(round, Looked.from_json(found), given.dict())
            if request.method == "POST":
                return _launch(request, round, wanted, preview)
    except (RoundError, ValueError) as error:
        problem = str(error)
    context = {
        "round": round,
        "exports": exports,
        "export": wanted.export,
        "include_simulated": wanted.include_simulated,
        "rules": RULES,
        "rule": wanted.rule,
        "looking": looking,
        "preview": preview,
        "problem": problem,
        "live": live_run(round, Stage.DPO),
        "approve": settings.APPROVE_ROUNDS,
        "measure": f"at {round.sampler.get('width')}×{round.sampler.get('height')}",
        **_fields(round, preview, given),
    }
    template = "annotate/training/launch.html" + ("#preview" if request.htmx else "")
    return render(request, template, context, status=422 if problem else 200)


@dataclass(frozen=True)
class _Wanted:
    """On what to train."""

    export: Export | None
    rule: ExportRule
    include_simulated: bool

    @property
    def values(self) -> dict[str, Any]:
        """As jobs store it."""
        export = self.export.pk if self.export else None
        return {"export": export, "rule": str(self.rule), "include_simulated": self.include_simulated}


def _wanted(given: QueryDict, exports: QuerySet[Export]) -> _Wanted:
    chosen, rule = given.get("export", ""), given.get("rule") or str(ExportRule.PARETO)
    export = next((export for export in exports if str(export.pk) == chosen), None)
    if (chosen and export is None) or rule not in RULES:
        raise Http404
    rule = ExportRule(export.rule if export else rule)
    return _Wanted(export, rule, given.get("include_simulated") == "on")


def _launch(request: SignedInRequest, round: Round, wanted: _Wanted, preview: Preview) -> HttpResponse:
    """By a job, which freezes the votes as they are now first."""
    seen, accepted = request.POST.get("seen", ""), request.POST.get("accepted") == "on"
    refuse_launch(round, preview, seen=seen, accepted=accepted)
    form = {name: value for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}
    return ask_and_follow(request, LAUNCH.name, round, form=form, **wanted.values)


def _fields(round: Round, preview: Preview | None, given: QueryDict) -> dict[str, Any]:
    """The settings as they were tried; a form that could not be read shows what was typed."""
    return setting_fields(preview.config if preview else FlowDPOConfig.from_json(round.dpo), given, FIRST)
