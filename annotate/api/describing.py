"""How operations are described in the OpenAPI document: what each may answer, with an example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

F = TypeVar("F", bound=Callable[..., Any])

_PROBLEM = inline_serializer("Problem", {"detail": serializers.CharField()})
#: What is wrong with each field, or in `detail` what is wrong with the request as a whole.
_INVALID = OpenApiTypes.OBJECT

#: status -> (when, the body's shape, an example)
_PROBLEMS: Mapping[int, tuple[str, Any, Any]] = {
    400: (
        "The request is not valid JSON, or a field cannot be used: its name, and what is wrong with it.",
        _INVALID,
        {"choice": ["first is not one of: left, right, tie, both_bad, unsure."]},
    ),
    401: (
        "No token was sent, or it does not work.",
        _PROBLEM,
        {"detail": "Authentication credentials were not provided."},
    ),
    403: (
        "A page's session came without its CSRF token. Programs send an API token instead.",
        _PROBLEM,
        {"detail": "CSRF Failed: CSRF token missing."},
    ),
    404: ("It does not exist, or not for you.", _PROBLEM, {"detail": "Not found."}),
    409: (
        "Things are in another state than the request needs; the body says which.",
        _PROBLEM,
        {"detail": "this pair was given to someone else, because the lease ran out"},
    ),
    415: (
        "The body is not `application/json`.",
        _PROBLEM,
        {"detail": 'Unsupported media type "text/plain" in request.'},
    ),
    416: ("The range lies beyond the end of the file.", None, None),
    422: (
        "The request is well formed, but cannot be done; the body says why.",
        _PROBLEM,
        {"detail": "25 % of the right video was shown and 50 % must be; play it, then answer again"},
    ),
}


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
    responses: dict[int, Any] = {status: _answer(status) for status in sorted(statuses)}
    return extend_schema(request=request, responses={**answers, **responses}, examples=[*examples], **options)


def _answer(status: int) -> OpenApiResponse:
    when, shape, example = _PROBLEMS[status]
    examples = [OpenApiExample("Problem", example, response_only=True)] if example else []
    return OpenApiResponse(shape, when, examples)


def example(name: str, value: Any, *statuses: int) -> OpenApiExample:
    """Of a request, or with statuses of an answer."""
    return OpenApiExample(
        name,
        value,
        request_only=not statuses,
        response_only=bool(statuses),
        status_codes=[str(status) for status in statuses] or None,
    )
