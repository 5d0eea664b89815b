"""The API of leads: what takes longer than a request may."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.describing import Conflict, described, example
from annotate.api.judging import signed_in
from annotate.api.leads import ForLeads
from annotate.background import jobs
from annotate.background.kinds import JobKind
from annotate.background.tasks import send_job
from annotate.models import Job, Round


class JobShown(serializers.ModelSerializer[Job]):
    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "round",
            "status",
            "done",
            "total",
            "outcome",
            "result",
            "error",
            "created_at",
            "ended_at",
        ]


#: Of an answer that says where to ask for progress.
LOCATION = OpenApiParameter(
    "Location",
    OpenApiTypes.STR,
    "header",
    response=[202],
    description="Where to ask for progress.",
)
SHOWN = {
    "id": 12,
    "kind": "advance_round",
    "round": 3,
    "status": "done",
    "done": 100_000,
    "total": None,
    "outcome": "Export 5 holds 100000 pairs; flow-DPO is queued.",
    "result": {"run": 9},
    "error": "",
    "created_at": "2026-11-25T09:00:00Z",
    "ended_at": "2026-11-25T09:02:10Z",
}
QUEUED = SHOWN | {"status": "queued", "done": 0, "outcome": "", "result": None, "ended_at": None}


def accepted(request: Request, kind: JobKind, round: Round | None = None, **values: Any) -> Response:
    """Queue a job, and say where its progress is."""
    job = jobs.ask(kind.name, signed_in(request), round=round, **values)
    send_job(job)
    address = reverse("api_job", args=[job.pk])
    shown = JobShown(job).data
    return Response(shown, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class JobListView(ForLeads, generics.ListAPIView[Job]):
    serializer_class = JobShown
    queryset = Job.objects.none()

    def get_queryset(self) -> QuerySet[Job]:
        return jobs.visible_jobs(signed_in(self.request)).order_by("-id")

    @described({200: JobShown(many=True)}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Jobs, the newest first."""
        return super().get(request, *args, **kwargs)


class JobView(ForLeads):
    @described({200: JobShown}, problems=[404], examples=[example("Done", SHOWN, 200)])
    def get(self, request: Request, pk: int) -> Response:
        """How far a job is; `result` says what it made once it is `done`."""
        return Response(JobShown(_job(request, pk)).data)

    @described({204: OpenApiResponse(description="It will not go on.")}, problems=[403, 404, 409])
    def delete(self, request: Request, pk: int) -> Response:
        """Cancel a job that has not ended."""
        job = _job(request, pk)
        if not jobs.cancel(job):
            raise Conflict(f"{job} has ended already: {job.status}")
        return Response(status=status.HTTP_204_NO_CONTENT)


def _job(request: Request, pk: int) -> Job:
    return generics.get_object_or_404(jobs.visible_jobs(signed_in(request)), pk=pk)
