"""Media addresses and bytes: opaque, bound to a lease, with range support.

An annotator's address is `/media/<lease>/<name>`: a random lease and a place on the page (`left`,
`reference-0`). Nothing in it, nor in a header, says which model, seed, sample or file it is. Leads look
at rows by number, under their own addresses.
"""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from annotate.core.files import Lease, media_view, requester, stored_file
from annotate.judging.queries import held_slot
from annotate.judging.tracks import shown_file


def media_url(lease: UUID, name: str) -> str:
    return reverse("leased_media", args=[lease, name])


@media_view
def leased_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    slot = held_slot(requester(request), lease)
    path = shown_file(slot, name) if slot else None
    if slot is None or path is None:
        raise Http404
    return stored_file(request, path, Lease(f"{lease}/{name}", int(slot.time_left.total_seconds())))
