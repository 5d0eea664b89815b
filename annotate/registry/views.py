"""The registry: every version of a model, what it came from, what came of it, and what follows."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotate.background.views import ask_and_follow, look
from annotate.core.access import SignedInRequest, leads_only
from annotate.core.errors import RoundError
from annotate.core.files import archive_response
from annotate.exports.queries import votes_of
from annotate.models import Job, ModelVersion
from annotate.registry import model_cards, versions
from annotate.registry import queries as version_queries
from annotate.registry.about import about_of
from annotate.registry.background import CARD, NEXT_ROUND
from annotate.training.queries import QUICK_PAIRS

CHANGES = {"promote": versions.promote, "archive": versions.archive, "restore": versions.restore}


@leads_only
@require_safe
def version_list(request: SignedInRequest) -> HttpResponse:
    return render(
        request, "annotate/registry/versions.html", {"versions": version_queries.registry(request.user)}
    )


@leads_only
@require_safe
def version_detail(request: SignedInRequest, version_id: int) -> HttpResponse:
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    context = {
        "version": version,
        "ancestors": version.line[:-1],
        "adapters": version.adapters(),
        "votes": votes_of(version.export) if version.export else None,
        "about": about_of(version),
        "figures": model_cards.figures_of(version),
        "settings": model_cards.changed_settings_of(version),
        "evaluations": version_queries.evaluations_of(version),
        "comparisons": version_queries.comparisons_with(request.user, version)[:20],
        "uses": version_queries.uses_of(version),
        "last_round": versions.last_round(version),
    }
    return render(request, "annotate/registry/version.html", context)


@leads_only
@require_safe
def card(request: SignedInRequest, version_id: int) -> HttpResponse:
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    card = _card(request, version)
    if isinstance(card, Job):
        return redirect("job", job_id=card.pk)
    return HttpResponse(card, content_type="text/plain; charset=utf-8")


@leads_only
@require_safe
def download(request: SignedInRequest, version_id: int, form: str) -> HttpResponseBase:
    """The adapters of a version's line and its card as a zip, for Diffusers or for ComfyUI."""
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    if form not in model_cards.FORMS:
        raise Http404
    card = _card(request, version)
    if isinstance(card, Job):
        return redirect("job", job_id=card.pk)
    try:
        archive = model_cards.adapters_zip(version, form, card)
    except model_cards.AdapterError as error:
        messages.error(request, f"Nothing can be downloaded: {error}.")
        return redirect("version", version_id=version.pk)
    return archive_response(archive, f"model-{version.pk}-{form}.zip")


def _card(request: SignedInRequest, version: ModelVersion) -> str | Job:
    """The card, or the job that writes it where it tells of many pairs; its page then leads back here."""
    export = version.export
    is_quick = export is None or export.num_pairs <= QUICK_PAIRS
    found = look(request, CARD, is_quick=is_quick, version=version.pk, link=request.path)
    return found if isinstance(found, Job) else str(found["card"])


@leads_only
@require_POST
def change(request: SignedInRequest, version_id: int, action: str) -> HttpResponse:
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    try:
        CHANGES[action](version, request.user)
    except versions.VersionError as error:
        messages.error(request, f"Nothing was changed: {error}.")
    return redirect("version", version_id=version.pk)


@leads_only
@require_POST
def next_round(request: SignedInRequest, version_id: int) -> HttpResponse:
    version = get_object_or_404(version_queries.visible_versions(request.user), pk=version_id)
    name = request.POST.get("name", "")
    try:
        versions.refuse_next_round(name, version)
    except RoundError as error:
        messages.error(request, f"No round was started: {error}.")
        return redirect("version", version_id=version.pk)
    new_seeds = request.POST.get("new_seeds") == "on"
    return ask_and_follow(request, NEXT_ROUND.name, name=name, policy=version.pk, new_seeds=new_seeds)
