"""Judgments as files, for leads: ask, watch, cancel, download."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotate.core.access import SignedInRequest, leads_only
from annotate.exports.downloads import DownloadError, cancel_file, request_file
from annotate.exports.queries import visible_files
from annotate.exports.responses import judgment_file
from annotate.exports.tasks import send_judgment_file
from annotate.models import FileFormat, Round
from rlhf.records import Track


class FileForm(forms.Form):
    """What a lead, who sees every round, may ask for."""

    round = forms.ModelChoiceField(Round.objects.all(), required=False, empty_label="all rounds")
    track = forms.ChoiceField(choices=[("", "both"), *((str(t), str(t)) for t in Track)], required=False)
    file_format = forms.ChoiceField(
        choices=[(FileFormat.JSONL, "JSON lines, gzipped"), (FileFormat.PARQUET, "Parquet")]
    )
    includes_simulated = forms.BooleanField(required=False, initial=True, label="simulated votes, marked")
    includes_names = forms.BooleanField(required=False, label="people's names instead of pseudonyms")


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def judgment_files(request: SignedInRequest) -> HttpResponse:
    """The whole page; while a file is being written, its `#files` part is asked for again and again."""
    form = FileForm(request.POST or None)
    if form.is_valid():
        file = request_file(request.user, **form.cleaned_data)
        send_judgment_file(file)
        return redirect("judgment_files")
    files = list(visible_files(request.user)[:50])
    context = {"form": form, "files": files, "is_live": any(file.is_live for file in files)}
    template = "annotate/exports/judgment_files.html" + ("#files" if request.htmx else "")
    return render(request, template, context, status=422 if form.errors else 200)


@leads_only
@require_POST
def cancel(request: SignedInRequest, file_id: int) -> HttpResponse:
    file = get_object_or_404(visible_files(request.user), pk=file_id)
    if not cancel_file(file):
        messages.error(request, f"{file} had ended already: {file.status}.")
    return redirect("judgment_files")


@leads_only
@require_safe
def content(request: SignedInRequest, file_id: int) -> HttpResponseBase:
    file = get_object_or_404(visible_files(request.user), pk=file_id)
    try:
        return judgment_file(request, file)
    except DownloadError as error:
        messages.error(request, str(error))
        return redirect("judgment_files")
