"""Media addresses and bytes: opaque, bound to a lease, with range support.

An annotator's address is `/media/<lease>/<name>`: a random lease and a place on the page (`left`,
`reference-0`). Nothing in it, nor in a header, says which model, seed, sample or file it is. Leads look
at rows by number, under their own addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_safe
from rest_framework.authentication import TokenAuthentication

from annotate import study_queries
from annotate.judging_queries import held_slot
from annotate.models import FileFormat, JudgmentFile, Stage, User
from annotate.queries import visible_references, visible_runs, visible_samples
from annotate.services.downloads import file_path
from annotate.services.run_clips import clip_path
from annotate.tracks import shown_file

_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
#: Of files of judgments.
MEDIA_TYPES = {
    FileFormat.JSONL: "application/gzip",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}
_PART = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def media_url(lease: UUID, name: str) -> str:
    return reverse("leased_media", args=[lease, name])


@require_safe
def leased_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    slot = held_slot(_user(request), lease)
    path = shown_file(slot, name) if slot else None
    if path is None:
        raise Http404
    return stored_file(request, path)


@require_safe
def study_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    task = study_queries.held_task(_user(request), lease, to_look=True)
    path = study_queries.shown_file(task, name) if task else None
    if path is None:
        raise Http404
    return stored_file(request, path)


@require_safe
def sample_media(request: HttpRequest, sample_id: int) -> HttpResponseBase:
    path = visible_samples(_user(request)).filter(pk=sample_id).values_list("path", flat=True).first()
    if path is None:
        raise Http404
    return stored_file(request, path)


@require_safe
def reference_media(request: HttpRequest, reference_id: int, part: str) -> HttpResponseBase:
    column = "poster" if part == "poster" else "path"
    path = visible_references(_user(request)).filter(pk=reference_id).values_list(column, flat=True).first()
    if path is None:
        raise Http404
    return stored_file(request, path)


def judgment_file(request: HttpRequest, file: JudgmentFile) -> HttpResponseBase:
    """A file of judgments under its own name, whole or in part.

    Raises:
        DownloadError: it is not whole yet, or not there any more.
    """
    response = stored_file(request, file_path(file))
    response.headers["Content-Disposition"] = f'attachment; filename="judgments-{file.pk}{file.suffix}"'
    response.headers["Content-Type"] = MEDIA_TYPES[FileFormat(file.file_format)]
    response.headers["ETag"] = f'"{file.sha256}"'
    return response


@require_safe
def run_clip_media(request: HttpRequest, run_id: int, step: int, pair_id: int) -> HttpResponseBase:
    run = visible_runs(_user(request)).filter(pk=run_id, stage=Stage.DPO).first()
    if run is None:
        raise Http404
    return stored_file(request, clip_path(run, step, pair_id))


def _user(request: HttpRequest) -> User:
    """The signed-in person, by session or by API token; strangers learn nothing, not even a 403."""
    user = request.user
    if not user.is_authenticated:
        found = TokenAuthentication().authenticate(request)  # type: ignore[arg-type]
        if found is None:
            raise Http404
        user = found[0]
    assert isinstance(user, User)
    return user


def stored_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """A stored file, whole (200) or in part (206, which Safari needs before it plays anything)."""
    place: Path = settings.STORAGE_ROOT / path
    try:
        file = open(place, "rb")  # noqa: SIM115 - the response closes it
    except FileNotFoundError:
        raise Http404 from None
    size = place.stat().st_size
    span = _span(request.headers.get("Range", ""), size)
    if span is None:
        file.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = span
    if (start, stop) == (0, size):
        response: HttpResponseBase = FileResponse(file)
    else:
        response = StreamingHttpResponse(_parts(file, start, stop), status=206)
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response.headers["Content-Type"] = _TYPES.get(place.suffix, "application/octet-stream")
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-store"
    # FileResponse would tell the file's name.
    del response.headers["Content-Disposition"]
    return response


def _parts(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """A stretch of a file in pieces: the rest of a long download does not fit into memory."""
    with file:
        file.seek(start)
        while start < stop and (part := file.read(min(_PART, stop - start))):
            start += len(part)
            yield part


def _span(header: str, size: int) -> tuple[int, int] | None:
    """The half-open byte range asked for; the whole file without a usable header; None beyond its end."""
    match = _RANGE.match(header)
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    return (start, stop) if start < stop else None
