"""From a pilot: what a number of exported pairs will cost."""

from __future__ import annotations

from dataclasses import replace

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotate.core.access import SignedInRequest, leads_only, visible_rounds
from annotate.quality import queries as quality_queries
from annotate.rounds import progress_queries
from rlhf.votes.vote import Estimate
from rlhf.votes.yield_plan import YieldPlan, plan_yield

MAX_WANTED = 1_000_000


class PlanForm(forms.Form):
    wanted = forms.IntegerField(
        label="Exported pairs wanted",
        min_value=1,
        max_value=MAX_WANTED,
        initial=1000,
        error_messages={
            "invalid": "Give a whole number of pairs, such as 1000.",
            "required": "Give a number of pairs, such as 1000.",
            "min_value": "Plan for at least 1 exported pair.",
            "max_value": "Plan for at most 1000000 exported pairs.",
        },
    )


@leads_only
@require_safe
def planner(request: SignedInRequest, round_id: int) -> HttpResponse:
    round = get_object_or_404(visible_rounds(request.user), pk=round_id)
    form = PlanForm(request.GET if "wanted" in request.GET else {"wanted": 1000})
    is_simulated = not quality_queries.has_votes(round, is_simulated=False)
    pilot = progress_queries.pilot_of(round, is_simulated=is_simulated)
    plan = _plan(pilot, form.cleaned_data["wanted"]) if form.is_valid() else None
    context = {"round": round, "form": form, "pilot": pilot, "plan": plan, "is_simulated": is_simulated}
    return render(request, "annotate/quality/planner.html", context, status=422 if form.errors else 200)


def _plan(pilot: progress_queries.Pilot, wanted: int) -> YieldPlan:
    """Hours are only told where some votes say how long they took."""
    plan = plan_yield(pilot.pairs, wanted)
    if pilot.timed or plan.hours.value is None:
        return plan
    return replace(plan, hours=Estimate.undefined("no vote of this round recorded how long it took"))
