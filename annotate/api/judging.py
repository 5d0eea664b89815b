"""The API of stage 5: the same lease, answer, change of mind and renewal as on the page, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from drf_spectacular.views import SpectacularAPIView
from rest_framework import status
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.api import serializers
from annotate.api.describing import Unfit, described, example
from annotate.core.strict_json import ShallowJSONParser
from annotate.judging.answer_schema import JudgmentRequest, NotWatchedError, TooSoonError
from annotate.judging.assignment_queries import open_pairs, why_no_pair
from annotate.judging.judgments import (
    AlreadyAnsweredError,
    LeaseLostError,
    TooLateError,
    revise_judgment,
    submit_judgment,
)
from annotate.judging.no_pair import Reason
from annotate.judging.queries import changeable_judgment, num_held
from annotate.judging.slots import MAX_HELD, RoundNotForChoosingError, lease_slot, release_slot, renew_lease
from annotate.judging.tracks import judging_task, said_on_screen
from annotate.models import Judgment, User
from rlhf.records import Track, choice_of

#: A 204 has no body, so the code of the reason is in this header; `GET` says it in words.
REASON_HEADER = "No-Pair-Reason"
_NOTHING = OpenApiResponse(
    description=f"There is no pair for you. The header `{REASON_HEADER}` says why: {', '.join(Reason)}."
)
_TRACK = OpenApiParameter("track", str, "path", enum=[str(track) for track in Track])
_LEASE_EXAMPLE = {
    "lease": "6f1f7f0a-6a0e-4c58-9f57-0a4f6c7f7c11",
    "track": "controllability",
    "expires_at": "2026-11-25T09:15:00Z",
    "left": "/media/6f1f7f0a-6a0e-4c58-9f57-0a4f6c7f7c11/left",
    "right": "/media/6f1f7f0a-6a0e-4c58-9f57-0a4f6c7f7c11/right",
    "references": [
        {
            "url": "/media/6f1f7f0a-6a0e-4c58-9f57-0a4f6c7f7c11/reference-0",
            "poster": "/media/6f1f7f0a-6a0e-4c58-9f57-0a4f6c7f7c11/reference-0.poster",
            "kind": "photo",
            "is_primary": True,
        }
    ],
    "prompt": "The background changes to a beach.",
    "statements": ["The background changes to a beach."],
    "elements": {"background": "a beach"},
}
_NO_PAIR_EXAMPLE = {
    "open": 0,
    "reason": "nothing_free_now",
    "says": "The pairs that are left are in other people's hands just now. Come back in a few minutes.",
}
_JUDGMENT_EXAMPLE = {
    "choice": "left",
    "idempotency_key": "0b0cf0f6-8f6f-4bb1-a1ce-90e8b3c0e0c5",
    "strength": "clearly",
    "evidence": {"active_ms": 5200, "coverage": {"left": 1.0, "right": 1.0}},
}
_TOO_SOON_EXAMPLE = {
    "detail": "it came 60 ms after its pair was shown, and 400 ms must pass; look, then answer again",
    "code": "too_soon",
}
_STANDS_EXAMPLE = {
    "detail": "this pair already has your answer",
    "code": "already_judged",
    "stands": {"choice": "left", "revision": 1, "created_at": "2026-11-25T09:03:12Z"},
}
_GIVEN_EXAMPLE = {"choice": "left", "revision": 1, "created_at": "2026-11-25T09:03:12Z"}


_NOT_TAKEN = OpenApiResponse(
    serializers.NotTaken,
    "Things are in another state than the request needs; `code` says which.",
    [
        example("Too soon", _TOO_SOON_EXAMPLE, 409),
        example("Another answer stands", _STANDS_EXAMPLE, 409),
    ],
)


def signed_in(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user


_CODES: dict[type[Exception], str] = {
    LeaseLostError: "lease_lost",
    AlreadyAnsweredError: "already_judged",
    TooLateError: "too_late",
    TooSoonError: "too_soon",
}
# One of each for all requests: to make a serializer costs more than what it does here.
_LEASE = serializers.LeaseRequest()
_JUDGMENT = JudgmentRequest()


class SchemaView(SpectacularAPIView):
    """This document."""


class NowhereView(APIView):
    """An address that is none answers a program in JSON, too."""

    schema = None
    permission_classes: Sequence[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404


class TokenView(ObtainAuthToken):
    """A person's token for their name and password; the page "API token" makes one, too."""

    parser_classes = [ShallowJSONParser]

    @described(
        {200: serializers.TokenShown},
        request=AuthTokenSerializer,
        examples=[
            example("Name and password", {"username": "ana", "password": "…"}),
            example("Token", {"token": "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"}, 200),
        ],
        is_open=True,
        auth=[],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Get the token of a name and password. Repeating the request gives the same token."""
        return super().post(request, *args, **kwargs)


class LeaseView(APIView):
    permission_classes = [IsAuthenticated]

    @described(
        {200: serializers.Lease, 204: _NOTHING},
        request=serializers.LeaseRequest,
        parameters=[_TRACK],
        problems=[404, 422],
        examples=[example("The next pair of a round", {"round": 3}), example("A pair", _LEASE_EXAMPLE, 200)],
    )
    def post(self, request: Request, track: Track) -> Response:
        """Lease the next pair of a track; before it is judged, the same pair again.

        422: you may not ask for this round.
        """
        asked, user = _LEASE.run_validation(request.data), signed_in(request)
        try:
            slot = lease_slot(user, track, asked.get("round"), ahead_of=asked.get("ahead_of"))
        except RoundNotForChoosingError as error:
            raise Unfit(str(error)) from None
        if slot is not None:
            return Response(serializers.lease_json(judging_task(slot, as_leased=True)))
        waits = asked.get("ahead_of") is not None and num_held(user, track) >= MAX_HELD
        why = Reason.ANSWERS_AWAITED if waits else why_no_pair(user, track).code
        return Response(status=status.HTTP_204_NO_CONTENT, headers={REASON_HEADER: str(why)})

    @described(
        {200: serializers.OpenPairs},
        parameters=[_TRACK],
        problems=[404],
        examples=[
            example("Some", {"open": 12, "reason": None, "says": ""}, 200),
            example("None", _NO_PAIR_EXAMPLE, 200),
        ],
    )
    def get(self, request: Request, track: Track) -> Response:
        """How many pairs of a track are open for you, and why where there are none. Nothing is leased."""
        user = signed_in(request)
        if num_open := open_pairs(user, track):
            return Response({"open": num_open, "reason": None, "says": ""})
        why = why_no_pair(user, track)
        return Response({"open": 0, "reason": str(why.code), "says": why.message})


class LastAnswerView(APIView):
    permission_classes = [IsAuthenticated]

    @described(
        {
            200: serializers.LastAnswer,
            204: OpenApiResponse(description="No answer of yours can still be changed."),
        },
        parameters=[_TRACK],
        problems=[404],
    )
    def get(self, request: Request, track: Track) -> Response:
        """The last answer of a track while it can be changed, by `PUT` to its lease's judgment."""
        last = changeable_judgment(signed_in(request), track)
        if last is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        lease = serializers.lease_json(judging_task(last.slot))
        return Response({"lease": lease, **said_on_screen(last), "revision": last.revision})


class HeldLeaseView(APIView):
    permission_classes = [IsAuthenticated]

    @described(
        {200: serializers.LeaseRenewed},
        problems=[403, 404],
        examples=[example("Renewed", {"expires_at": "2026-11-25T09:30:00Z"}, 200)],
    )
    def post(self, request: Request, lease: UUID) -> Response:
        """Keep a pair while it is being judged."""
        until = renew_lease(signed_in(request), lease)
        if until is None:
            raise Http404
        return Response({"expires_at": until})

    @described({204: OpenApiResponse(description="It is somebody else's turn.")}, problems=[403, 404])
    def delete(self, request: Request, lease: UUID) -> Response:
        """Give a pair back unjudged."""
        if not release_slot(signed_in(request), lease):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class JudgmentView(APIView):
    permission_classes = [IsAuthenticated]

    @described(
        {201: serializers.JudgmentGiven, 409: _NOT_TAKEN},
        request=JudgmentRequest,
        problems=[404, 422],
        examples=[example("An answer", _JUDGMENT_EXAMPLE), example("Stored", _GIVEN_EXAMPLE, 201)],
    )
    def post(self, request: Request, lease: UUID) -> Response:
        """Judge a leased pair. Repeating the request with its key changes nothing.

        An answer is taken `ANSWER_GUARD_MS` (400 ms unless the site says otherwise) after its pair was shown
        at the earliest: by the server's clock, that is after the lease was given and after your last answer
        of the track, whichever is later; and by `evidence.answered_after_ms` where you send it. Simulated
        annotators are not held up.

        409, with a `code`: `too_soon`: repeat the request after `Retry-After` seconds; `already_judged`: the
        pair has the answer in `stands`, which you may change by `PUT`; `lease_lost`: the lease ran out and
        the pair is somebody else's. 422: a video was hardly shown, or the answer does not fit.
        """
        return _answer(request, lease, submit_judgment, status.HTTP_201_CREATED)

    @described(
        {200: serializers.JudgmentGiven, 409: _NOT_TAKEN},
        request=JudgmentRequest,
        problems=[404, 422],
        examples=[
            example("Another answer", {**_JUDGMENT_EXAMPLE, "choice": "right"}),
            example("Stored", {**_GIVEN_EXAMPLE, "choice": "right", "revision": 2}, 200),
        ],
    )
    def put(self, request: Request, lease: UUID) -> Response:
        """Change an answer: a revision that counts instead of it. Its key is a new one.

        409, with a `code`: `lease_lost`: there is no answer of yours; `too_late`: it is too old to be
        changed. 422: as for an answer.
        """
        return _answer(request, lease, revise_judgment, status.HTTP_200_OK)


def _answer(request: Request, lease: UUID, give: Callable[..., Judgment], status_code: int) -> Response:
    given = _JUDGMENT.run_validation(request.data)
    try:
        judgment = give(signed_in(request), lease, **given)
    except (LeaseLostError, AlreadyAnsweredError, TooLateError, TooSoonError) as error:
        return _not_taken(error)
    except (NotWatchedError, ValueError) as error:
        raise Unfit(str(error)) from None
    return Response(_given(judgment, given["choice"]), status=status_code)


def _given(judgment: Judgment, choice: str) -> dict[str, Any]:
    return {"choice": choice, "revision": judgment.revision, "created_at": judgment.created_at}


def _not_taken(error: Exception) -> Response:
    problem: dict[str, Any] = {"detail": str(error), "code": _CODES[type(error)]}
    if isinstance(error, AlreadyAnsweredError):
        stands = error.answer
        problem["stands"] = _given(stands, choice_of(stands.verdict, first_on_left=stands.slot.first_on_left))
    headers = {"Retry-After": str(ceil(settings.ANSWER_GUARD_MS / 1000))}
    return Response(
        problem,
        status=status.HTTP_409_CONFLICT,
        headers=headers if isinstance(error, TooSoonError) else None,
    )
