"""Entry links, for leads: make one, see who came and who finished, end it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.database import clock
from annotate.models import EntryLink, Round, User
from annotate.studies import entries
from annotate.studies.queries import entries_of, visible_links
from rlhf.records import Track

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
    context = {"form": form, "links": visible_links(request.user)}
    return render(request, "annotate/studies/entry_links.html", context, status=422 if form.errors else 200)


@leads_only
def entry_link(request: SignedInRequest, link_id: int) -> HttpResponse:
    link = _link(request, link_id)
    context = {"link": link, "entries": entries_of(link), "now": clock.now()}
    return render(request, "annotate/studies/entry_link.html", context)


@leads_only
@require_POST
def end(request: SignedInRequest, link_id: int) -> HttpResponse:
    link = _link(request, link_id)
    if entries.end_link(link, request.user):
        messages.info(request, f"{link} lets nobody in any more.")
    return redirect("entry_link", link_id=link.pk)


def _link(request: SignedInRequest, link_id: int) -> EntryLink:
    return get_object_or_404(visible_links(request.user), pk=link_id)
