"""The API of leads: model versions, what brings them in, and supervised training."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api import serializers
from annotate.api.describing import Conflict, described, example
from annotate.api.jobs import LOCATION, QUEUED, JobShown, accepted
from annotate.api.judging import signed_in
from annotate.api.leads import ForLeads
from annotate.core.access import visible_runs
from annotate.jobs import tasks
from annotate.models import ModelVersion, Run
from annotate.registry.queries import usable_versions, visible_versions
from annotate.registry.registration import queue_adapter, queue_base
from annotate.supervised import queries
from annotate.supervised.background import LAUNCH
from rlhf.dpo.form import read_form, written
from rlhf.sft.config import SFTConfig


class ModelListView(ForLeads, generics.ListAPIView[ModelVersion]):
    serializer_class = serializers.ModelVersionListed
    queryset = ModelVersion.objects.none()

    def get_queryset(self) -> QuerySet[ModelVersion]:
        return visible_versions(signed_in(self.request)).order_by("id")

    @described({200: serializers.ModelVersionListed(many=True)}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Model versions, each with the adapters that it is made of and their weights."""
        return super().get(request, *args, **kwargs)

    @described(
        {200: serializers.RunQueued},
        request=serializers.ModelRequest,
        problems=[400, 404, 409],
        examples=[
            example("A base", {"base": "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "kind": "base"}),
            example("An adapter", {"adapter": "/models/ours.safetensors", "on": 4}),
            example("Queued", {"says": "register-3 is queued", "run": 9}, 200),
        ],
    )
    def post(self, request: Request) -> Response:
        """Have a worker look at weights that it has, and register them. Its run says what became of it."""
        actor = signed_in(request)
        wanted = serializers.ModelRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        if "base" in values:
            return _sent(queue_base(values["base"], values["kind"], actor))
        policy = generics.get_object_or_404(usable_versions(actor), pk=values["on"])
        return _sent(queue_adapter(values["adapter"], policy, actor))


class SFTView(ForLeads):
    @described(
        {202: JobShown},
        request=serializers.SFTRequest,
        problems=[400, 404, 409],
        parameters=[LOCATION],
        examples=[
            example("The people here", {"config": {"steps": 500}}),
            example("A set, on eight devices", {"set": 2, "config": {"devices": 8}}),
            example("Queued", QUEUED | {"kind": "launch_sft", "round": None}, 202),
        ],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Train an adapter on this version, from instances with targets.

        A job freezes them and queues the run, which its `result` names. What blocks a launch is its error.
        """
        actor = signed_in(request)
        policy = generics.get_object_or_404(usable_versions(actor), pk=pk)
        wanted = serializers.SFTRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        chosen = values.get("set")
        if chosen is not None:
            chosen = generics.get_object_or_404(queries.usable_sets(actor), pk=chosen).pk
        form = {name: written(value) for name, value in values["config"].items()}
        try:
            read_form(form, SFTConfig())
        except ValueError as error:
            raise Conflict(str(error)) from None
        what = {"policy": policy.pk, "set": chosen, "source": values["people_of"], "form": form}
        return accepted(request, LAUNCH, **what, seen=None, accepted=True)


class RunView(ForLeads, generics.RetrieveAPIView[Run]):
    serializer_class = serializers.RunShown
    queryset = Run.objects.none()

    def get_queryset(self) -> QuerySet[Run]:
        return visible_runs(signed_in(self.request))

    @described({200: serializers.RunShown}, problems=[404])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """How a run is, and what it ended with."""
        return super().get(request, *args, **kwargs)


def _sent(run: Run) -> Response:
    tasks.send_run(run)
    return Response({"says": f"{run} is {run.status}", "run": run.pk})
