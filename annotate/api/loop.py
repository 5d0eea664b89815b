"""The API of leads: what turns the loop."""

from __future__ import annotations

from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api import serializers
from annotate.api.describing import described, example
from annotate.api.judging import signed_in
from annotate.api.rounds import ForLeads, asked_round
from annotate.evaluation.evaluations import evaluate_round, evaluate_version
from annotate.jobs import tasks
from annotate.loop.loop import advance_round
from annotate.models import RoundState, Run
from annotate.registry.queries import visible_versions
from annotate.rounds.rounds import set_round_state

_EVALUATING = [example("Queued", {"says": "evaluation is queued", "run": 9}, 200)]


class AdvanceView(ForLeads):
    @described(
        {200: serializers.RoundAdvanced},
        request=serializers.AdvanceRequest,
        problems=[400, 403, 404, 409],
        examples=[
            example("On two devices", {"devices": 2}),
            example("Waiting", {"says": "waiting for people: 12 on identity", "run": None}, 200),
            example("Queued", {"says": "sampling is queued", "run": 7}, 200),
        ],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take the round's next step, or say what it waits for."""
        round = asked_round(request, pk)
        wanted = serializers.AdvanceRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        step = advance_round(round, devices=wanted.validated_data.get("devices"), actor=signed_in(request))
        tasks.send_run(step.run)
        return Response({"says": step.message, "run": step.run.pk if step.run else None})


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
    @described({200: serializers.RoundAdvanced}, problems=[403, 404, 409], examples=_EVALUATING)
    def post(self, request: Request, pk: int) -> Response:
        """Evaluate what a round has tuned on held-out people. It waits for no votes."""
        return _sent(evaluate_round(asked_round(request, pk), signed_in(request)))


class ModelEvaluationView(ForLeads):
    @described({200: serializers.RoundAdvanced}, problems=[403, 404, 409], examples=_EVALUATING)
    def post(self, request: Request, pk: int) -> Response:
        """Evaluate any model version on held-out people, against its parent where it has one."""
        version = generics.get_object_or_404(visible_versions(signed_in(request)), pk=pk)
        return _sent(evaluate_version(version, signed_in(request)))


def _sent(run: Run) -> Response:
    tasks.send_run(run)
    return Response({"says": f"evaluation is {run.status}", "run": run.pk})
