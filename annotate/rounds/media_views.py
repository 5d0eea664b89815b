"""Videos of samples, for leads."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from annotate.core.access import visible_samples
from annotate.core.files import media_view, requester, stored_file


@media_view
def sample_media(request: HttpRequest, sample_id: int) -> HttpResponseBase:
    path = visible_samples(requester(request)).filter(pk=sample_id).values_list("path", flat=True).first()
    if path is None:
        raise Http404
    return stored_file(request, path)
