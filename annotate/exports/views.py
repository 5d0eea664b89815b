"""An export: what it holds, what was left out and why, what came of it, and the ways to take it along."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_safe

from annotate.core.access import SignedInRequest, leads_only, visible_exports
from annotate.core.files import archive_response
from annotate.exports import files as export_files
from annotate.exports.queries import votes_of


@leads_only
@require_safe
def export_detail(request: SignedInRequest, export_id: int) -> HttpResponse:
    export = get_object_or_404(visible_exports(request.user), pk=export_id)
    manifest = export.manifest
    context = {
        "export": export,
        "votes": votes_of(export),
        "reasons": sorted(manifest["reasons"].items(), key=lambda item: (-item[1], item[0])),
        "licences": sorted(manifest["licences"].items()),
        "runs": export.runs.order_by("id"),
        "versions": export.trained_versions.order_by("id"),
        "forms": export_files.FORMS,
    }
    return render(request, "annotate/exports/export.html", context)


@leads_only
@require_GET
def download(request: SignedInRequest, export_id: int, form: str) -> HttpResponseBase:
    export = get_object_or_404(visible_exports(request.user), pk=export_id)
    if form not in export_files.FORMS:
        raise Http404
    try:
        archive = export_files.export_zip(export, form, request.user)
    except export_files.ExportFileError as error:
        messages.error(request, f"Nothing can be downloaded: {error}.")
        return redirect("export", export_id=export.pk)
    return archive_response(archive, f"export-{export.pk}-{form}.zip")
