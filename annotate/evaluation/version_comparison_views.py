"""Two versions side by side: chosen with held-out inputs and seeds, then watched clip by clip."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from annotate.core.access import SignedInRequest, has_seen, leads_only
from annotate.core.errors import RoundError
from annotate.core.files import stored_file
from annotate.evaluation.comparison_queries import instances_to_compare_on
from annotate.evaluation.tables import evaluation_tables
from annotate.evaluation.version_comparisons import SYSTEMS, clip_path, compare_versions, places
from annotate.jobs import tasks
from annotate.jobs.queries import news_of_run, run_progress
from annotate.models import MAX_SEEDS, Instance, ModelVersion, Use
from annotate.registry import queries as version_queries

#: Inputs that are ticked at first, that are offered, and that are allowed at once.
FIRST, OFFERED, MAX_INPUTS = 4, 100, 24


class ComparisonForm(forms.Form):
    """What a lead, who sees every version, may compare."""

    baseline = forms.ModelChoiceField(ModelVersion.objects.order_by("-id"))
    candidate = forms.ModelChoiceField(ModelVersion.objects.order_by("-id"))
    num_seeds = forms.TypedChoiceField(
        coerce=int, choices=[(number, str(number)) for number in range(1, MAX_SEEDS + 1)], initial=2
    )
    instances = forms.ModelMultipleChoiceField(
        instances_to_compare_on(Use.EVALUATE),
        error_messages={"required": "Tick at least one input to compare on."},
    )

    def clean_instances(self) -> list[Instance]:
        chosen = list(self.cleaned_data["instances"])
        if len(chosen) > MAX_INPUTS:
            raise forms.ValidationError(f"{len(chosen)} inputs are ticked; compare on {MAX_INPUTS} at most.")
        return chosen

    def clean(self) -> None:
        baseline, candidate = self.cleaned_data.get("baseline"), self.cleaned_data.get("candidate")
        if baseline is not None and baseline == candidate:
            raise forms.ValidationError(f"{baseline} is on both sides; choose another one for either.")


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def choose(request: SignedInRequest) -> HttpResponse:
    offered = instances_to_compare_on(Use.EVALUATE)[:OFFERED]
    form = ComparisonForm(
        request.POST or None,
        initial=_first_choice(request) | {"instances": [instance.pk for instance in offered[:FIRST]]},
    )
    problem = ""
    if form.is_valid():
        try:
            comparison = compare_versions(**form.cleaned_data, actor=request.user)
        except RoundError as error:
            problem = f"Nothing was started: {error}."
        else:
            tasks.send_run(comparison.run)
            return redirect("version_comparison", comparison_id=comparison.pk)
    ticked = {str(value) for value in form["instances"].value() or []}
    context = {
        "form": form,
        "problem": problem,
        "offered": [(instance, str(instance.pk) in ticked) for instance in offered],
        "num_held_out": instances_to_compare_on(Use.EVALUATE).count(),
        "num_versions": version_queries.visible_versions(request.user).count(),
        "comparisons": version_queries.visible_comparisons(request.user)[:50],
        "max_inputs": MAX_INPUTS,
    }
    status = 422 if problem or form.errors else 200
    return render(request, "annotate/evaluation/version_comparisons.html", context, status=status)


def _first_choice(request: SignedInRequest) -> dict[str, Any]:
    """The version that one comes from, or the newest, against its parent."""
    versions = version_queries.visible_versions(request.user).order_by("-id")
    wanted = request.GET.get("candidate", "")
    candidate = versions.filter(pk=wanted).first() if wanted.isdecimal() and len(wanted) < 10 else None
    candidate = candidate or versions.first()
    return {"candidate": candidate, "baseline": candidate.parent if candidate else None}


@leads_only
@require_safe
def comparison(request: SignedInRequest, comparison_id: int) -> HttpResponse:
    """The whole page; while its run is live, the `#progress` part is asked for again and again."""
    compared = get_object_or_404(version_queries.visible_comparisons(request.user), pk=comparison_id)
    run = compared.run
    news = news_of_run(run.pk)
    if run.is_live and has_seen(request, news):
        return HttpResponse(status=204)
    progress = run_progress(run)
    context: dict[str, Any] = {"comparison": compared, "run": run, "progress": progress, "news": news}
    if request.htmx:
        response = render(request, "annotate/evaluation/version_comparison.html#progress", context)
        if not run.is_live:
            response.headers["HX-Refresh"] = "true"
        return response
    context |= {
        "places": list(places(compared)),
        # Whose win rates those are is said in the table of differences.
        "evaluation": evaluation_tables(run) | {"tracks": {}} if run.result else None,
        "sampler": run.round.sampler if run.round else {},
    }
    return render(request, "annotate/evaluation/version_comparison.html", context)


@leads_only
@require_safe
def clip(
    request: SignedInRequest, comparison_id: int, system: str, instance_id: int, seed: int
) -> HttpResponseBase:
    found = get_object_or_404(version_queries.visible_comparisons(request.user), pk=comparison_id)
    if system not in SYSTEMS or not found.instances.filter(pk=instance_id).exists():
        raise Http404
    return stored_file(request, clip_path(found, system, instance_id, seed))
