"""Files over HTTP: stored ones, whole or in part, with nothing in a header that names them; and archives."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from zipstream import ZipStream  # type: ignore[import-untyped]

from annotate.models import User

_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}


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


def stored_file(request: HttpRequest, path: str | None) -> HttpResponseBase:
    """A stored file, whole (200) or in part (206, which Safari needs before it plays anything).

    Raises:
        Http404: there is no such file, or no path.
    """
    if path is None:
        raise Http404
    stored: Path = settings.STORAGE_ROOT / path
    try:
        file = open(stored, "rb")  # noqa: SIM115 - the response closes it
    except FileNotFoundError:
        raise Http404 from None
    size = stored.stat().st_size
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
    response.headers["Content-Type"] = _TYPES.get(stored.suffix, "application/octet-stream")
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


class FilePart(io.RawIOBase):
    """The bytes `start` to `stop` of an open file, which it closes."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file, self.start, self.size = file, start, stop - start
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.position)
        self.file.seek(self.start + self.position)
        part = self.file.read(left if size < 0 else min(size, left))
        self.position += len(part)
        return part

    def close(self) -> None:
        self.file.close()
        super().close()


ZIP = "application/zip"


def archive_response(archive: ZipStream, name: str) -> StreamingHttpResponse:
    headers = {
        "Content-Length": str(len(archive)),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(archive, content_type=ZIP, headers=headers)
