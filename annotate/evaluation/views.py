"""What an evaluation found, on the page of its run, and its report as a file."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, leads_only, visible_runs
from annotate.core.errors import RoundError
from annotate.core.files import stored_file
from annotate.evaluation.background import EVALUATE
from annotate.evaluation.evaluations import round_to_evaluate_in
from annotate.evaluation.tables import report_path, sheet_path
from annotate.models import Stage
from annotate.registry import queries as version_queries


@leads_only
@require_POST
def start(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Evaluate a version on held-out people, whatever votes are still to come."""
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    try:
        round = round_to_evaluate_in(version)
    except RoundError as error:
        messages.error(request, f"Nothing was started: {error}.")
        return redirect("version", version_id=version.pk)
    return ask_and_follow(request, EVALUATE.name, round, version=version.pk)


@leads_only
@require_safe
def report(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """To save and open: its styles stand inside it, which this site's own pages may not have."""
    run = get_object_or_404(visible_runs(request.user), pk=run_id, stage=Stage.EVALUATE)
    response = stored_file(request, report_path(run))
    response.headers["Content-Disposition"] = f'attachment; filename="evaluation-{run.pk}.html"'
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


@leads_only
@require_safe
def sheet(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """The compared models on the first people, as a picture."""
    run = get_object_or_404(visible_runs(request.user), pk=run_id, stage=Stage.EVALUATE)
    return stored_file(request, sheet_path(run))
