"""User studies and entry links, for leads: make one, see who came and what they said, save it, end it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.core.parts import part_of
from annotate.database import clock
from annotate.models import EntryLink, Round, Run, Study, User
from annotate.studies import entries
from annotate.studies import queries as study_queries
from annotate.studies.export import answer_rows, figures_report, results_of
from annotate.studies.studies import add_seat, make_study
from annotate.studies.tasks import send_study
from rlhf.evaluation.study_figures import CriterionFigures
from rlhf.records import Track

#: Studies, and entry links.
ROWS_PER_PAGE = 50
#: Of each participant, in the paper.
PAPERS_PAIRS = 40
#: A beginning that leads are expected to change to what their ethics board wants.
CONSENT = """You will compare pairs of short computer-made videos of people and say which one you prefer.
Taking part is voluntary. You may stop at any time by closing the page.
Your answers are kept under a pseudonym and used to research and train video models.
I am at least 18 years old, I have read this, and I agree to take part."""


class TermsForm(forms.Form):
    """Who may come in by a link, and what they get."""

    name = forms.CharField(max_length=100, help_text="Participants see it.")
    max_people = forms.IntegerField(min_value=1, max_value=100_000, initial=20, label="People")
    closes_at = forms.DateTimeField(
        label="Closes at (UTC)",
        initial=lambda: clock.now() + timedelta(days=7),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    id_parameter = forms.RegexField(
        r"^[A-Za-z][A-Za-z0-9_.-]{0,39}$",
        initial="PROLIFIC_PID",
        label="Id parameter of the platform",
        error_messages={"invalid": "Begin with a letter; then letters, digits and _ . - follow, at most 39."},
    )
    completion_code = forms.CharField(max_length=100)
    completion_url = forms.URLField(
        max_length=500, required=False, assume_scheme="https", label="Completion address, if any"
    )
    screened_out_url = forms.URLField(
        max_length=500, required=False, assume_scheme="https", label="Screened-out address, if any"
    )
    consent_text = forms.CharField(
        max_length=20_000,
        initial=CONSENT,
        widget=forms.Textarea(attrs={"rows": 6}),
        label="What people agree to",
    )


class LinkForm(TermsForm):
    round = forms.ModelChoiceField(Round.objects.none(), empty_label=None)
    track = forms.ChoiceField(choices=[(str(track), str(track)) for track in Track])
    pairs_per_person = forms.IntegerField(min_value=1, max_value=500, initial=15, label="Pairs per person")

    field_order = ("name", "round", "track", "max_people", "pairs_per_person")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["round"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = visible_rounds(user).filter(is_open=True).order_by("-id")


class StudyForm(TermsForm):
    systems = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        label="Models",
        error_messages={"required": "Tick two models or more."},
    )
    pairs_per_person = forms.IntegerField(min_value=1, max_value=500, label="Pairs per person")
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, initial=0, label="Seed of the plan")

    field_order = ("name", "systems", "max_people", "pairs_per_person", "seed")

    def __init__(self, systems: Mapping[str, str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["systems"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = list(systems.items())
        field.initial = list(systems)


@leads_only
@require_safe
def study_list(request: SignedInRequest) -> HttpResponse:
    runs = [(run, study_queries.systems_of(run)) for run in study_queries.runs_to_study()[:20]]
    studies = study_queries.with_counts(study_queries.visible_studies(request.user))
    part = part_of(studies, request.GET.get("after", ""), ROWS_PER_PAGE)
    context = {
        "part": part,
        "studies": part.rows,
        "runs": [{"run": run, "systems": systems} for run, systems in runs if len(systems) > 1],
    }
    return render(request, "annotate/studies/studies.html", context)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def make(request: SignedInRequest, run_id: int) -> HttpResponse:
    run: Run = get_object_or_404(study_queries.runs_to_study(), pk=run_id)
    systems = study_queries.systems_of(run)
    inputs = len(study_queries.videos_by_input(run, systems))
    most = inputs * len(systems) * (len(systems) - 1) // 2
    form = StudyForm(systems, request.POST or None, initial={"pairs_per_person": min(PAPERS_PAIRS, most)})
    if form.is_valid():
        values = dict(form.cleaned_data)
        plan = {name: values.pop(name) for name in ("systems", "pairs_per_person", "seed")}
        try:
            study = make_study(run, link=EntryLink(**values), actor=request.user, **plan)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            send_study(study)
            return redirect("study", study_id=study.pk)
    context = {"run": run, "form": form, "systems": systems, "inputs": inputs}
    return render(request, "annotate/studies/study_make.html", context, status=422 if form.errors else 200)


@leads_only
@require_safe
def study(request: SignedInRequest, study_id: int) -> HttpResponse:
    study = _study(request, study_id)
    if request.htmx:  # asked again and again while its videos are being stored
        return render(request, "annotate/studies/study.html#state", {"study": study})
    results = results_of(study)
    context = {
        "study": study,
        "models": results.models,
        "is_simulated": results.is_simulated,
        "results": [
            {"label": criterion.label, "rows": _rows(figures, results.models), "figures": figures}
            for criterion, figures in results.figures.items()
        ],
    }
    return render(request, "annotate/studies/study.html", context)


def _rows(figures: CriterionFigures, models: list[str]) -> list[dict[str, Any]]:
    """A model each, the best first, with its win rate drawn and its rate against each other model."""
    return [
        {
            "model": model,
            "rate": figures.win_rates[model],
            "strength": figures.strengths[model],
            "against": [figures.against.get((model, rival)) for rival in models],
        }
        for model in figures.ranking
    ]


@leads_only
@require_POST
def store(request: SignedInRequest, study_id: int) -> HttpResponse:
    study = _study(request, study_id)
    send_study(study)
    messages.info(request, "A worker stores the videos again.")
    return redirect("study", study_id=study.pk)


@leads_only
@require_POST
def seat(request: SignedInRequest, study_id: int) -> HttpResponse:
    study = _study(request, study_id)
    try:
        add_seat(study, request.user)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "One more person can come in by the same address.")
    return redirect("study", study_id=study.pk)


@leads_only
@require_safe
def figures(request: SignedInRequest, study_id: int) -> HttpResponse:
    study = _study(request, study_id)
    saved_as = {"Content-Disposition": f'attachment; filename="study-{study.pk}.json"'}
    return JsonResponse(figures_report(study), json_dumps_params={"indent": 1}, headers=saved_as)


@leads_only
@require_safe
def answers(request: SignedInRequest, study_id: int) -> HttpResponse:
    study = _study(request, study_id)
    saved_as = {"Content-Disposition": f'attachment; filename="study-{study.pk}.csv"'}
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=saved_as)
    csv.writer(response).writerows(answer_rows(study))
    return response


def _study(request: SignedInRequest, study_id: int) -> Study:
    visible = study_queries.with_counts(study_queries.visible_studies(request.user))
    return get_object_or_404(visible, pk=study_id)


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def entry_links(request: SignedInRequest) -> HttpResponse:
    form = LinkForm(request.user, request.POST or None)
    if form.is_valid():
        values = dict(form.cleaned_data)
        work = {name: values.pop(name) for name in ("round", "track", "pairs_per_person")}
        try:
            link = entries.make_link(EntryLink(**values), **work, actor=request.user)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return redirect("entry_link", link_id=link.pk)
    part = part_of(study_queries.visible_links(request.user), request.GET.get("after", ""), ROWS_PER_PAGE)
    context = {"form": form, "part": part, "links": part.rows}
    return render(request, "annotate/studies/entry_links.html", context, status=422 if form.errors else 200)


@leads_only
def entry_link(request: SignedInRequest, link_id: int) -> HttpResponse:
    link = _link(request, link_id)
    context = {"link": link, "entries": study_queries.entries_of(link), "now": clock.now()}
    return render(request, "annotate/studies/entry_link.html", context)


@leads_only
@require_POST
def end(request: SignedInRequest, link_id: int) -> HttpResponse:
    link = _link(request, link_id)
    if entries.end_link(link, request.user):
        messages.info(request, f"{link} lets nobody in any more.")
    return redirect("entry_link", link_id=link.pk)


def _link(request: SignedInRequest, link_id: int) -> EntryLink:
    return get_object_or_404(study_queries.visible_links(request.user), pk=link_id)
