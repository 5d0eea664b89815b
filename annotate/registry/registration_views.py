"""Bringing weights in that were made elsewhere, and mixing the adapters that are there."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from annotate.core.access import SignedInRequest, leads_only
from annotate.core.errors import RoundError
from annotate.jobs import tasks
from annotate.models import MAX_WEIGHT, ModelVersion, Run
from annotate.registry.mixes import make_mix
from annotate.registry.queries import adapters_on, recent_registrations, usable_versions
from annotate.registry.registration import BASE_KINDS, queue_adapter, queue_base


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def register_model(request: SignedInRequest) -> HttpResponse:
    """Queue the look at a base or an adapter; its run's page says what became of it."""
    given, problem = request.POST, ""
    if request.method == "POST":
        try:
            run = _queue(request)
        except RoundError as error:
            problem = str(error)
        else:
            tasks.send_run(run)
            return redirect("run", run_id=run.pk)
    context = {
        "problem": problem,
        "given": given,
        "kinds": BASE_KINDS,
        "versions": usable_versions(request.user),
        "runs": recent_registrations(request.user),
    }
    return render(request, "annotate/registry/register.html", context, status=422 if problem else 200)


def _queue(request: SignedInRequest) -> Run:
    given = request.POST
    if given.get("what") != "adapter":
        return queue_base(given.get("base", ""), given.get("kind", ""), request.user)
    versions = usable_versions(request.user)
    policy = versions.filter(name=given.get("policy", "")).first()
    if policy is None:
        raise RoundError(f"there is no version {given.get('policy', '')!r}; choose one from the list")
    return queue_adapter(given.get("adapter", ""), policy, request.user)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def mix(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Adapters of a lineage with weights; `version_id` is any version of it."""
    version = get_object_or_404(usable_versions(request.user), pk=version_id)
    base = version.root or version
    rows, problem = _rows(request, base, version), ""
    if request.method == "POST":
        try:
            weights = {one.name: _weight(one, text) for one, text in rows if text}
            made = make_mix(request.POST.get("name", ""), base, weights, request.user)
        except RoundError as error:
            problem = str(error)
        else:
            return redirect("version", version_id=made.pk)
    context = {
        "version": version,
        "base": base,
        "rows": rows,
        "name": request.POST.get("name", ""),
        "problem": problem,
        "max_weight": MAX_WEIGHT,
    }
    return render(request, "annotate/registry/mix.html", context, status=422 if problem else 200)


def _rows(
    request: SignedInRequest, base: ModelVersion, version: ModelVersion
) -> list[tuple[ModelVersion, str]]:
    """Every adapter of the lineage and its weight as text: as it was typed, or as the version has it."""
    own = {one.pk: f"{weight:g}" for one, weight in version.adapters()}
    is_typed = request.method == "POST"
    return [
        (one, request.POST.get(f"weight-{one.pk}", "").strip() if is_typed else own.get(one.pk, ""))
        for one in adapters_on(base)
    ]


def _weight(version: ModelVersion, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RoundError(f"the weight of {version} is {text!r}; it must be a number") from None
