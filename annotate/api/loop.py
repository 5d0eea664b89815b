"""The API of leads: what turns the loop."""

from __future__ import annotations

from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api import serializers
from annotate.api.describing import described, example
from annotate.api.jobs import LOCATION, QUEUED, JobShown, accepted
from annotate.api.judging import signed_in
from annotate.api.leads import ForLeads, asked_round
from annotate.evaluation.background import EVALUATE
from annotate.evaluation.evaluations import round_to_evaluate_in, tuned_in
from annotate.loop.background import ADVANCE
from annotate.models import ModelVersion, RoundState
from annotate.registry.queries import visible_versions
from annotate.rounds.rounds import set_round_state

_EVALUATING = [example("Queued", QUEUED | {"kind": "evaluate"}, 202)]


class AdvanceView(ForLeads):
    @described(
        {202: JobShown},
        request=serializers.AdvanceRequest,
        problems=[400, 403, 404],
        parameters=[LOCATION],
        examples=[example("On two devices", {"devices": 2}), example("Queued", QUEUED, 202)],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take the round's next step, or say what it waits for.

        A job does it; its `outcome` says what it did, and its `result` names the run that it queued.
        """
        round = asked_round(request, pk)
        wanted = serializers.AdvanceRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        devices = wanted.validated_data.get("devices")
        return accepted(request, ADVANCE, round, include_simulated=False, devices=devices)


class RoundStateView(ForLeads):
    @described(
        {200: serializers.RoundStateShown},
        request=serializers.RoundStateRequest,
        problems=[403, 404],
        examples=[
            example("Close", {"state": "closed"}),
            example("Closed", {"id": 3, "state": "closed", "changed": True}, 200),
        ],
    )
    def put(self, request: Request, pk: int) -> Response:
        """Open, pause or close a round. Pairs that people hold may be answered in every state."""
        round = asked_round(request, pk)
        wanted = serializers.RoundStateRequest().run_validation(request.data)
        changed = set_round_state(round, RoundState(wanted["state"]), signed_in(request))
        return Response({"id": round.pk, "state": round.state, "changed": changed})


class RoundEvaluationView(ForLeads):
    @described({202: JobShown}, problems=[403, 404, 409], parameters=[LOCATION], examples=_EVALUATING)
    def post(self, request: Request, pk: int) -> Response:
        """Evaluate what a round has tuned on held-out people. It waits for no votes.

        A job writes the request and queues the run, which its `result` names.
        """
        return _evaluate(request, tuned_in(asked_round(request, pk)))


class ModelEvaluationView(ForLeads):
    @described({202: JobShown}, problems=[403, 404, 409], parameters=[LOCATION], examples=_EVALUATING)
    def post(self, request: Request, pk: int) -> Response:
        """Evaluate any model version on held-out people, against its parent where it has one.

        A job writes the request and queues the run, which its `result` names.
        """
        return _evaluate(request, generics.get_object_or_404(visible_versions(signed_in(request)), pk=pk))


def _evaluate(request: Request, version: ModelVersion) -> Response:
    return accepted(request, EVALUATE, round_to_evaluate_in(version), version=version.pk)
