"""The API: the same services and queries as the pages, for machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate import tasks
from annotate.api import serializers
from annotate.evidence import NotWatchedError
from annotate.models import Export, Judgment, Round, User
from annotate.queries import visible_exports, visible_rounds
from annotate.services.judgments import (
    AlreadyJudgedError,
    LeaseLostError,
    TooLateError,
    revise_judgment,
    submit_judgment,
)
from annotate.services.loop import advance_round
from annotate.services.rounds import RoundError
from annotate.services.slots import lease_slot, release_slot, renew_lease
from annotate.tracks import judging_task
from rlhf.records import Track


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unfit(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unfit"


class IsLead(BasePermission):
    """To anybody but a lead the page does not exist."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (isinstance(request.user, User) and request.user.is_lead):
            raise Http404
        return True


def signed_in(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user


# One of each for all requests: to make a serializer costs more than what it does here.
_LEASE = serializers.LeaseRequest()
_JUDGMENT = serializers.JudgmentRequest()


class LeaseView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        request=serializers.LeaseRequest,
        responses={200: serializers.Lease, 204: OpenApiResponse(description="Nothing is left for you.")},
    )
    def post(self, request: Request, track: Track) -> Response:
        """Lease the next pair of a track; before it is judged, the same pair again."""
        asked = _LEASE.run_validation(request.data)
        slot = lease_slot(signed_in(request), track, asked.get("round"), ahead_of=asked.get("ahead_of"))
        if slot is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(serializers.lease_json(judging_task(slot)))


class HeldLeaseView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(request=None, responses={200: serializers.LeaseRenewed, 404: None})
    def post(self, request: Request, lease: UUID) -> Response:
        """Keep a pair while it is being judged."""
        until = renew_lease(signed_in(request), lease)
        if until is None:
            raise Http404
        return Response(serializers.LeaseRenewed({"expires_at": until}).data)

    @extend_schema(responses={204: None, 404: None})
    def delete(self, request: Request, lease: UUID) -> Response:
        """Give a pair back unjudged."""
        if not release_slot(signed_in(request), lease):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class JudgmentView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        request=serializers.JudgmentRequest,
        responses={
            201: serializers.JudgmentGiven,
            409: OpenApiResponse(
                description="The lease ran out and the pair is somebody else's, or it has an answer."
            ),
            422: OpenApiResponse(description="A video was hardly shown, or the answer does not fit."),
        },
    )
    def post(self, request: Request, lease: UUID) -> Response:
        """Judge a leased pair. Repeating the request with its key changes nothing."""
        return _answer(request, lease, submit_judgment, status.HTTP_201_CREATED)

    @extend_schema(
        request=serializers.JudgmentRequest,
        responses={
            200: serializers.JudgmentGiven,
            409: OpenApiResponse(description="There is no answer of yours, or it is too old to be changed."),
            422: OpenApiResponse(description="A video was hardly shown, or the answer does not fit."),
        },
    )
    def put(self, request: Request, lease: UUID) -> Response:
        """Change an answer: a revision that counts instead of it. Its key is a new one."""
        return _answer(request, lease, revise_judgment, status.HTTP_200_OK)


def _answer(request: Request, lease: UUID, give: Callable[..., Judgment], status_code: int) -> Response:
    given = _JUDGMENT.run_validation(request.data)
    try:
        judgment = give(signed_in(request), lease, **given)
    except (LeaseLostError, AlreadyJudgedError, TooLateError) as error:
        raise Conflict(str(error)) from None
    except (NotWatchedError, ValueError) as error:
        raise Unfit(str(error)) from None
    answer = {
        "choice": given["choice"],
        "revision": judgment.revision,
        "created_at": judgment.created_at,
    }
    return Response(answer, status=status_code)


class RoundListView(generics.ListAPIView[Round]):
    permission_classes = [IsAuthenticated, IsLead]
    serializer_class = serializers.RoundShown
    queryset = Round.objects.none()

    def get_queryset(self) -> Any:
        return visible_rounds(signed_in(self.request)).prefetch_related("runs")


class RoundView(generics.RetrieveAPIView[Round]):
    permission_classes = [IsAuthenticated, IsLead]
    serializer_class = serializers.RoundShown
    queryset = Round.objects.none()

    def get_queryset(self) -> Any:
        return visible_rounds(signed_in(self.request)).prefetch_related("runs")


class AdvanceView(APIView):
    permission_classes = [IsAuthenticated, IsLead]

    @extend_schema(request=None, responses={200: serializers.RoundAdvanced})
    def post(self, request: Request, pk: int) -> Response:
        """Take the round's next step, or say what it waits for."""
        round = generics.get_object_or_404(visible_rounds(signed_in(request)), pk=pk)
        try:
            step = advance_round(round, actor=signed_in(request))
        except RoundError as error:
            raise Conflict(str(error)) from None
        tasks.send_run(step.run)
        return Response({"says": step.says, "run": step.run.pk if step.run else None})


class ExportListView(generics.ListAPIView[Export]):
    permission_classes = [IsAuthenticated, IsLead]
    serializer_class = serializers.ExportShown
    queryset = Export.objects.none()

    def get_queryset(self) -> Any:
        return visible_exports(signed_in(self.request))
