"""Media addresses and bytes: opaque, bound to a lease, with range support.

An annotator's address is `/media/<lease>/<name>`: a random lease and a place on the page (`left`,
`reference-0`). Nothing in it, nor in a header, says which model, seed, sample or file it is. Leads look
at rows by number, under their own addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_safe
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from annotate.core.access import visible_references, visible_runs, visible_samples
from annotate.core.files import FilePart
from annotate.exports.downloads import file_path
from annotate.judging.queries import held_slot
from annotate.judging.tracks import shown_file
from annotate.models import FileFormat, JudgmentFile, Stage, User
from annotate.studies import queries as study_queries
from annotate.training.run_clips import clip_path

_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
#: Of files of judgments.
MEDIA_TYPES = {
    FileFormat.JSONL: "application/gzip",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z")


def _media(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view that says nothing to strangers but 404, and of a token that is none that it is none."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except AuthenticationFailed as error:
            text, headers = f"{error}\n", {"WWW-Authenticate": TokenAuthentication.keyword}
            return HttpResponse(text, "text/plain; charset=utf-8", HTTPStatus.UNAUTHORIZED, headers=headers)

    return answer


def media_url(lease: UUID, name: str) -> str:
    return reverse("leased_media", args=[lease, name])


@_media
def leased_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    slot = held_slot(_user(request), lease)
    path = shown_file(slot, name) if slot else None
    if path is None:
        raise Http404
    return stored_file(request, path)


@_media
def study_media(request: HttpRequest, lease: UUID, name: str) -> HttpResponseBase:
    task = study_queries.held_task(_user(request), lease, to_look=True)
    path = study_queries.shown_file(task, name) if task else None
    if path is None:
        raise Http404
    return stored_file(request, path)


@_media
def sample_media(request: HttpRequest, sample_id: int) -> HttpResponseBase:
    path = visible_samples(_user(request)).filter(pk=sample_id).values_list("path", flat=True).first()
    if path is None:
        raise Http404
    return stored_file(request, path)


@_media
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


@_media
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
        response = FileResponse(FilePart(file, start, stop), status=HTTPStatus.PARTIAL_CONTENT)
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response.headers["Content-Type"] = _TYPES.get(place.suffix, "application/octet-stream")
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-store"
    # FileResponse would tell the file's name.
    del response.headers["Content-Disposition"]
    return response


def _span(header: str, size: int) -> tuple[int, int] | None:
    """The half-open byte range asked for; the whole file without a valid header; None beyond its end."""
    match = _RANGE.match(header)
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = (_number(digits, otherwise=size) for digits in match.groups())
    if not match[1]:
        return (max(0, size - last), size) if last else None
    if first > last and match[2]:
        return 0, size
    return (first, min(last + 1, size)) if first < size else None


def _number(digits: str, *, otherwise: int) -> int:
    """Python refuses to read thousands of digits, and no file has so many bytes."""
    digits = digits.lstrip("0") or digits[:1]
    return int(digits[:19]) if digits else otherwise
