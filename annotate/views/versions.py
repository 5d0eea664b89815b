"""The registry: every version of a model, what it came from, what came of it, and what follows."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotate import version_queries
from annotate.models import ModelVersion
from annotate.services import versions
from annotate.services.dry_run import run_config
from annotate.services.rounds import RoundError
from annotate.views.access import SignedInRequest, leads_only
from rlhf.config_form import settings_of, written
from rlhf.dpo_config import FlowDPOConfig

#: Closing figures of a training, and what they are called.
FIGURES = {
    "num_pairs": "pairs trained on",
    "num_held_out_pairs": "pairs held out",
    "steps": "steps",
    "result_step": "weights of step",
    "first_loss": "first loss",
    "last_loss": "last loss",
    "accuracy": "pairs put in order at the end",
}
CHANGES = {"promote": versions.promote, "archive": versions.archive, "restore": versions.restore}


@leads_only
@require_safe
def version_list(request: SignedInRequest) -> HttpResponse:
    return render(request, "annotate/versions.html", {"versions": version_queries.registry(request.user)})


@leads_only
@require_safe
def version_detail(request: SignedInRequest, version_id: int) -> HttpResponse:
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    config = run_config(version.run) if version.run else None
    context = {
        "version": version,
        "ancestors": version_queries.ancestors(version),
        "votes": version_queries.votes_of(version.export) if version.export else None,
        "figures": _figures(version),
        "settings": _changed_settings(config) if config else [],
        "evaluations": version_queries.evaluations_of(version),
        "uses": version_queries.uses_of(version),
        "last_round": versions.last_round(version),
    }
    return render(request, "annotate/version.html", context)


def _figures(version: ModelVersion) -> list[tuple[str, Any]]:
    result = (version.run.result or {}) if version.run else {}
    return [(title, result[name]) for name, title in FIGURES.items() if result.get(name) is not None]


def _changed_settings(config: FlowDPOConfig) -> list[tuple[str, str, str]]:
    """Settings that differ from the defaults; the run's page has all of them."""
    values = [
        (one.name, written(getattr(config, one.name)), one.default) for one in settings_of(FlowDPOConfig)
    ]
    return [(name, value, default) for name, value, default in values if value != default]


@leads_only
@require_POST
def change(request: SignedInRequest, version_id: int, wish: str) -> HttpResponse:
    """Promote, archive or restore a version."""
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    try:
        CHANGES[wish](version, request.user)
    except versions.VersionError as error:
        messages.error(request, f"Nothing was changed: {error}.")
    return redirect("version", version_id=version.pk)


@leads_only
@require_POST
def next_round(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Open a round whose policy is this version."""
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    try:
        round = versions.start_next_round(request.POST.get("name", ""), version, request.user)
    except RoundError as error:
        messages.error(request, f"No round was started: {error}.")
        return redirect("version", version_id=version.pk)
    messages.info(request, f"{round} has {round.pairs.count()} pairs to make. Advance it to start sampling.")
    return redirect("round", round_id=round.pk)
