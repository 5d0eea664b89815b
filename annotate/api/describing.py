"""What operations may answer where they cannot do what was asked, and how the OpenAPI document says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException

F = TypeVar("F", bound=Callable[..., Any])

_PROBLEM = inline_serializer("Problem", {"detail": serializers.CharField()})
#: status -> (when, an example of what `detail` says)
_PROBLEMS = {
    401: ("No token was sent, or it does not work.", "Authentication credentials were not provided."),
    403: (
        "A page's session came without its CSRF token. Programs send an API token instead.",
        "CSRF Failed: CSRF token missing.",
    ),
    404: ("It does not exist, or not for you.", "Not found."),
    409: (
        "Things are in another state than the request needs; the body says which.",
        "this pair was given to someone else, because the lease ran out",
    ),
    415: ("The body is not `application/json`.", 'Unsupported media type "text/plain" in request.'),
    422: (
        "The request is well formed, but cannot be done; the body says why.",
        "25 % of the right video was shown and 50 % must be; play it, then answer again",
    ),
}


def _example(value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample("Problem", value, response_only=True)


_ANSWERS = {
    status: OpenApiResponse(_PROBLEM, when, [_example({"detail": detail})])
    for status, (when, detail) in _PROBLEMS.items()
} | {
    # What is wrong with each field, or in `detail` what is wrong with the request as a whole.
    400: OpenApiResponse(
        OpenApiTypes.OBJECT,
        "The request is not valid JSON, or a field cannot be used: its name, and what is wrong with it.",
        [_example({"choice": ["first is not one of: left, right, tie, both_bad, unsure."]})],
    ),
    416: OpenApiResponse(None, "The range lies beyond the end of the file."),
}


class Conflict(APIException):
    """Things are in another state than the request needs."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unfit(APIException):
    """A request is well formed, but cannot be done."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unfit"


def described(
    answers: Mapping[Any, Any],
    *,
    request: Any = None,
    examples: Iterable[OpenApiExample] = (),
    problems: Iterable[int] = (),
    is_open: bool = False,
    **options: Any,
) -> Callable[[F], F]:
    """Describe an operation. Those with a body, or that change something, may fail in the usual ways, too."""
    statuses = {*problems, *(() if is_open else (401,)), *((400, 415) if request else ())}
    if request and not is_open:
        statuses.add(403)
    responses = {status: _ANSWERS[status] for status in sorted(statuses)}
    return extend_schema(request=request, responses={**answers, **responses}, examples=[*examples], **options)


def example(name: str, value: Any, *statuses: int) -> OpenApiExample:
    """Of a request, or with statuses of an answer."""
    return OpenApiExample(
        name,
        value,
        request_only=not statuses,
        response_only=bool(statuses),
        status_codes=[str(status) for status in statuses] or None,
    )
