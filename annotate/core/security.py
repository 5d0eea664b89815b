"""For every request: a small body, no null characters, and the Content-Security-Policy header.

Django gains its own of the last in 6.0.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

#: UTF-8, and what is a part of it.
_CHARACTER_SETS = ("utf-8", "ascii")


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        return response

    return middleware


class SmallBodies(MiddlewareMixin):
    """Refuses a body unread that is larger than anything that is sent here, whoever sends it and wherever to.

    Django itself limits only what is kept in memory: it reads an upload to its end before it knows from whom.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        maximum: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        announced = request.META.get("CONTENT_LENGTH") or "0"
        if len(announced) <= len(str(maximum)) and not (announced.isdecimal() and int(announced) > maximum):
            return None
        text = f"This request is larger than {maximum} bytes, the most that is taken here.\n"
        return HttpResponse(text, "text/plain; charset=utf-8", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class NoNullCharacters(MiddlewareMixin):
    """PostgreSQL keeps no null character in text: a request that sends one is refused before its view begins.

    So is one in another character set than UTF-8: some of Python's are none of text.
    """

    def process_request(self, request: HttpRequest) -> None:
        if request.encoding and codecs.lookup(request.encoding).name not in _CHARACTER_SETS:
            raise BadRequest(f"the character set {request.encoding[:40]!r} is not read here; send UTF-8")
        for name, value in (*request.COOKIES.items(), *request.headers.items()):
            _refuse_nulls(name, [value])

    def process_view(self, request: HttpRequest, *_: object) -> None:
        for name, values in request.POST.lists():
            _refuse_nulls(name, values)


def _refuse_nulls(name: str, values: Iterable[str]) -> None:
    if any("\0" in value for value in values):
        raise BadRequest(f"{name!r} holds a null character")
