"""The API of leads: rounds, exports, and judgments as files."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api import serializers
from annotate.api.describing import Conflict, described, example
from annotate.api.jobs import LOCATION, QUEUED, JobShown, accepted
from annotate.api.judging import signed_in
from annotate.api.leads import ForLeads, asked_round
from annotate.core.access import visible_exports, visible_rounds
from annotate.core.files import ZIP, archive_response
from annotate.exports.downloads import cancel_file, request_file
from annotate.exports.files import FORMS, export_zip
from annotate.exports.queries import visible_files
from annotate.exports.responses import MEDIA_TYPES, judgment_file
from annotate.exports.tasks import send_judgment_file
from annotate.models import Export, JudgmentFile, Round
from annotate.registry.background import NEXT_ROUND
from annotate.registry.queries import visible_versions
from annotate.registry.versions import refuse_next_round
from annotate.rounds.funnel_queries import funnels
from annotate.rounds.rounds import let_choose


class RoundsForLeads(ForLeads, generics.GenericAPIView[Round]):
    serializer_class = serializers.RoundShown
    queryset = Round.objects.none()

    def get_queryset(self) -> Any:
        return visible_rounds(signed_in(self.request)).prefetch_related("runs")


class RoundListView(RoundsForLeads, generics.ListAPIView[Round]):
    def paginate_queryset(self, queryset: Any) -> Any:
        self._page = super().paginate_queryset(queryset)
        return self._page

    def get_serializer_context(self) -> dict[str, Any]:
        read = funnels(getattr(self, "_page", None) or ())
        return {**super().get_serializer_context(), "funnels": read}

    @described({200: serializers.RoundShown(many=True)}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Rounds with their funnels and runs."""
        return super().get(request, *args, **kwargs)

    @described(
        {202: JobShown},
        request=serializers.RoundRequest,
        problems=[404, 409],
        parameters=[LOCATION],
        examples=[
            example("New videos of the same instances", {"name": "spring-2", "policy": 4, "new_seeds": True}),
            example("Queued", QUEUED | {"kind": "next_round", "round": None}, 202),
        ],
    )
    def post(self, request: Request) -> Response:
        """Start a round from a model version, with settings and instances of the last round of its line.

        A job does it; its `result` names the round.
        """
        actor = signed_in(request)
        wanted = serializers.RoundRequest().run_validation(request.data)
        policy = generics.get_object_or_404(visible_versions(actor), pk=wanted["policy"])
        refuse_next_round(wanted["name"], policy)
        values = {"name": wanted["name"], "policy": policy.pk, "new_seeds": wanted["new_seeds"]}
        return accepted(request, NEXT_ROUND, **values)


class RoundView(RoundsForLeads, generics.RetrieveAPIView[Round]):
    @described({200: serializers.RoundShown}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A round with its funnel and runs."""
        return super().get(request, *args, **kwargs)


class ChoosingView(ForLeads):
    @described(
        {200: serializers.RoundChoosing},
        request=serializers.RoundChoosing,
        problems=[404, 409],
        examples=[
            example("Open", {"may_be_chosen": True}),
            example("Opened", {"may_be_chosen": True}, 200),
        ],
    )
    def put(self, request: Request, pk: int) -> Response:
        """Let annotators ask for the round, or not. 409: it compares models."""
        round = asked_round(request, pk)
        wanted = serializers.RoundChoosing().run_validation(request.data)
        let_choose(round, wanted["may_be_chosen"], actor=signed_in(request))
        return Response(wanted)


class ExportListView(ForLeads, generics.ListAPIView[Export]):
    serializer_class = serializers.ExportShown
    queryset = Export.objects.none()

    def get_queryset(self) -> Any:
        return visible_exports(signed_in(self.request))

    @described({200: serializers.ExportShown(many=True)}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Frozen sets of preference pairs."""
        return super().get(request, *args, **kwargs)


class ExportContentView(ForLeads):
    @described(
        {(200, ZIP): OpenApiResponse(OpenApiTypes.BINARY, "The set with all its media.")},
        problems=[404, 409],
        parameters=[
            OpenApiParameter(
                "form",
                OpenApiTypes.STR,
                "path",
                enum=[*FORMS],
                description="Who is to read it; see docs/exports.md.",
            )
        ],
    )
    def get(self, request: Request, pk: int, form: str) -> HttpResponseBase:
        """Take a set along, as it was frozen or as another trainer reads it. Who takes it is recorded."""
        actor = signed_in(request)
        export = generics.get_object_or_404(visible_exports(actor), pk=pk)
        if form not in FORMS:
            raise Http404
        return archive_response(export_zip(export, form, actor), f"export-{export.pk}-{form}.zip")


_FILE_EXAMPLE = {
    "id": 5,
    "round": 3,
    "track": "",
    "file_format": "jsonl",
    "includes_simulated": True,
    "includes_names": False,
    "status": "running",
    "num_rows": 1_000_000,
    "rows_written": 250_000,
    "sha256": "",
    "size_bytes": None,
    "error": "",
    "created_at": "2026-11-25T09:00:00Z",
    "ended_at": None,
    "expires_at": None,
    "content": None,
}


class JudgmentFileListView(ForLeads, generics.ListAPIView[JudgmentFile]):
    serializer_class = serializers.JudgmentFileShown
    queryset = JudgmentFile.objects.none()

    def get_queryset(self) -> Any:
        return visible_files(signed_in(self.request))

    @described({200: serializers.JudgmentFileShown(many=True)}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Files of judgments, the newest first."""
        return super().get(request, *args, **kwargs)

    @described(
        {202: serializers.JudgmentFileShown},
        request=serializers.JudgmentFileRequest,
        problems=[404],
        parameters=[LOCATION],
        examples=[
            example("A round as Parquet", {"round": 3, "file_format": "parquet"}),
            example(
                "Queued", {**_FILE_EXAMPLE, "status": "queued", "num_rows": None, "rows_written": 0}, 202
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """Ask for judgments as a file. A worker writes it; `status` says when it is `done`."""
        wanted = serializers.JudgmentFileRequest().run_validation(request.data)
        round_id = wanted.pop("round", None)
        round = asked_round(request, round_id) if round_id else None
        file = request_file(signed_in(request), round=round, **wanted)
        send_judgment_file(file)
        address = reverse("api_judgment_file", args=[file.pk])
        shown = serializers.JudgmentFileShown(file).data
        return Response(shown, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class JudgmentFileView(ForLeads):
    @described(
        {200: serializers.JudgmentFileShown},
        problems=[404],
        examples=[example("Under way", _FILE_EXAMPLE, 200)],
    )
    def get(self, request: Request, pk: int) -> Response:
        """How far a file is."""
        return Response(serializers.JudgmentFileShown(_file(request, pk)).data)

    @described({204: OpenApiResponse(description="It will not be written.")}, problems=[403, 404, 409])
    def delete(self, request: Request, pk: int) -> Response:
        """Cancel a file that is not done yet."""
        file = _file(request, pk)
        if not cancel_file(file):
            raise Conflict(f"{file} has ended already: {file.status}")
        return Response(status=status.HTTP_204_NO_CONTENT)


class JudgmentFileContentView(ForLeads):
    @described(
        {
            (status_code, media_type): OpenApiResponse(OpenApiTypes.BINARY, meaning)
            for status_code, meaning in ((200, "The whole file."), (206, "The range asked for."))
            for media_type in MEDIA_TYPES.values()
        },
        problems=[404, 409, 416],
        parameters=[
            OpenApiParameter("Range", OpenApiTypes.STR, "header", description="Such as bytes=1000-1999.")
        ],
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Download a file that is done, whole or in part; its ETag is its sha256."""
        return judgment_file(request._request, _file(request, pk))


def _file(request: Request, pk: int) -> JudgmentFile:
    return generics.get_object_or_404(visible_files(signed_in(request)), pk=pk)
