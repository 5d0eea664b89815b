"""Files over HTTP: stored ones, whole or in part, with nothing in a header that names them; and archives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from rest_framework.exceptions import AuthenticationFailed
from zipstream import ZipStream  # type: ignore[import-untyped]

from annotate.core.access import TokenAuthentication
from annotate.models import User
from annotate.storage.interface import Storage, media_type
from annotate.storage.leased_copies import leased_address
from annotate.storage.opening import site_storage

#: Where the proxy keeps what it sends by itself.
INTERNAL = "/stored/"
#: For how long a proxy may fetch from a bucket what staff asked for.
STAFF_S = 300
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z")


def media_view(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
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


def requester(request: HttpRequest) -> User:
    """The signed-in person, by session or by API token; strangers learn nothing, not even a 403."""
    user = request.user
    if not user.is_authenticated:
        by_token = TokenAuthentication().authenticate(request)  # type: ignore[arg-type]
        if by_token is None:
            raise Http404
        user = by_token[0]
    assert isinstance(user, User)
    return user


@dataclass(frozen=True)
class Lease:
    """The right to look at one file for a while: what the copy of it is named by, and for how long."""

    name: str
    seconds: int


def stored_file(request: HttpRequest, path: str | None, lease: Lease | None = None) -> HttpResponseBase:
    """A stored file, whole (200) or in part (206, which Safari needs before it plays anything).

    With a lease, the bytes come in the way of `settings.MEDIA_DELIVERY`, and the browser may keep them for
    its time. Without one they are for staff, who may know where they lie, and never come by redirect.

    Raises:
        Http404: there is no such file, or no path.
    """
    if path is None:
        raise Http404
    storage = site_storage()
    try:
        if settings.MEDIA_DELIVERY == "proxy":
            response = _by_proxy(storage, path, lease)
        elif settings.MEDIA_DELIVERY == "redirect" and lease is not None and request.method == "GET":
            response = _by_redirect(storage, path, lease)
        else:
            response = _by_web(request, storage, path)
    except FileNotFoundError:
        raise Http404 from None
    response.headers["Cache-Control"] = f"private, max-age={lease.seconds}" if lease else "private, no-store"
    return response


def _by_web(request: HttpRequest, storage: Storage, path: str) -> HttpResponseBase:
    size = storage.size(path)
    span = _span(request.headers.get("Range", ""), size)
    if span is None:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = span
    response = FileResponse(storage.stream(path, start, stop))
    if (start, stop) != (0, size):
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response.headers["Content-Type"] = media_type(path)
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    # FileResponse would tell the file's name.
    del response.headers["Content-Disposition"]
    return response


def _by_proxy(storage: Storage, path: str, lease: Lease | None) -> HttpResponseBase:
    """The proxy takes the place from this header, which nobody else sees, and sends the bytes itself."""
    if not storage.exists(path):
        raise FileNotFoundError(path)
    place = storage.internal_address(path, lease.seconds if lease else STAFF_S)
    headers = {"Content-Type": media_type(path), "X-Accel-Redirect": f"{INTERNAL}{place}"}
    return HttpResponse(headers=headers)


def _by_redirect(storage: Storage, path: str, lease: Lease) -> HttpResponseBase:
    """To a copy of this lease alone: the name of the file, and the time it was made, would say what it is."""
    return HttpResponseRedirect(leased_address(storage, path, lease.name, lease.seconds))


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


ZIP = "application/zip"


def add_stored(archive: ZipStream, key: str, name: str, size: int) -> None:
    """Add a stored file of a known size to an archive; it is opened once the archive is sent so far."""
    archive.add(_chunks(site_storage(), key), name, size=size)


def _chunks(storage: Storage, key: str) -> Iterator[bytes]:
    yield from storage.stream(key)


def archive_response(archive: ZipStream, name: str) -> StreamingHttpResponse:
    headers = {
        "Content-Length": str(len(archive)),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(archive, content_type=ZIP, headers=headers)
