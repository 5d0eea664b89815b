"""How people vote, what a lead makes of it, and what a number of exported pairs will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotate.background.views import ask_and_follow
from annotate.core.access import SignedInRequest, leads_only, signed_in, visible_exports, visible_rounds
from annotate.core.parts import MAX_COUNTED, Order, counted, part_of
from annotate.gold import queries as gold_queries
from annotate.jobs.sending import send
from annotate.judging import queries as judging_queries
from annotate.judging import vote_queries
from annotate.models import Disqualification, Export, FlagOutcome, User
from annotate.quality import disqualification as quality
from annotate.quality import queries as quality_queries
from annotate.quality.background import REBUILD
from annotate.quality.tasks import settle_disqualification
from annotate.rounds import progress_queries
from rlhf.plots.pages import Plot, curve
from rlhf.records import Track
from rlhf.votes.vote import Estimate
from rlhf.votes.yield_plan import YieldPlan, plan_yield

PEOPLE_PER_PAGE = 50
FLAGGED_FIRST: Order = {"-is_disqualified": bool, "-num_flags": int, "username": str}
SESSIONS_SHOWN = 8
#: Points of the plot of a person's times: each the median of as many votes.
POINTS = 80


@leads_only
@require_safe
def annotators(request: SignedInRequest) -> HttpResponse:
    people = quality_queries.annotator_rows(request.user)
    part = part_of(people, request.GET.get("after", ""), PEOPLE_PER_PAGE, FLAGGED_FIRST)
    newest = quality_queries.newest_reports(part.rows)
    context = {
        "part": part,
        "rows": [{"person": person, "rows": newest.get(person.pk, [])} for person in part.rows],
        "number": counted(quality_queries.visible_annotators(request.user)),
        "most": MAX_COUNTED,
    }
    return render(request, "annotate/quality/annotators.html", context)


@signed_in
@require_safe
def own_numbers(request: SignedInRequest) -> HttpResponse:
    """What a person may know of their own work: nothing that tells gold or what others said."""
    context = {
        "counts": judging_queries.own_counts(request.user),
        "left": quality_queries.own_left_share(request.user),
        **_work(request.user),
    }
    return render(request, "annotate/quality/own_numbers.html", context)


@leads_only
@require_safe
def annotator(request: SignedInRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(quality_queries.annotator_rows(request.user), pk=user_id)
    return _page(request, person)


def _page(
    request: SignedInRequest, person: User, problem: str = "", values: Mapping[str, str] | None = None
) -> HttpResponse:
    context = {
        "person": person,
        "disqualification": quality_queries.current_disqualification(person),
        "left_to_settle": quality_queries.left_to_settle(person),
        "past": person.disqualifications.exclude(lifted_at=None).select_related("by", "lifted_by"),
        "flags": quality_queries.flags_of(person),
        "outcomes": [choice for choice in FlagOutcome.choices if choice[0] != FlagOutcome.DISQUALIFIED],
        "rows": quality_queries.reports_of(person),
        "repeats": [(track, gold_queries.self_consistency(person, track)) for track in Track],
        **_work(person),
        "reached": quality_queries.reached_by(person),
        "problem": problem,
        "values": values or {},
    }
    return render(request, "annotate/quality/annotator.html", context, status=422 if problem else 200)


def _work(person: User) -> dict[str, Any]:
    sessions = quality_queries.sessions_of(person)
    return {
        "times": _times(quality_queries.times_of(person)),
        "sessions": sessions[:SESSIONS_SHOWN],
        "num_sessions": len(sessions),
        "max_votes": quality_queries.MAX_VOTES_SHOWN,
    }


def _times(times: Sequence[tuple[int, float]]) -> Plot:
    """Long histories as medians of stretches, so that one long look does not hide the rest."""
    size = max(1, len(times) // POINTS)
    stretches = [times[start : start + size] for start in range(0, len(times), size)]
    points = [(stretch[-1][0], median(time for _, time in stretch)) for stretch in stretches]
    return curve("Active seconds, vote by vote", points)


@leads_only
@require_POST
def review(request: SignedInRequest, flag_id: int) -> HttpResponse:
    flag = get_object_or_404(quality_queries.visible_flags(request.user), pk=flag_id)
    outcome, note = request.POST.get("outcome", ""), request.POST.get("note", "")
    try:
        quality.review_flag(flag, outcome, note, request.user)
    except quality.QualityError as error:
        messages.error(request, f"Nothing was changed: {error}.")
    return redirect("annotator", user_id=flag.annotator_id)


@leads_only
@require_POST
def disqualify(request: SignedInRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(quality_queries.annotator_rows(request.user), pk=user_id)
    reason = request.POST.get("reason", "")
    try:
        made = _change(person, reason, request)
    except quality.QualityError as error:
        return _page(request, person, str(error), {"reason": reason})
    send(settle_disqualification, made.pk)
    messages.info(request, "It is stored. A worker resolves every pair that these votes touched.")
    return redirect("annotator", user_id=person.pk)


def _change(person: User, reason: str, request: SignedInRequest) -> Disqualification:
    if "lift" not in request.POST:
        return quality.disqualify(person, reason, request.user)
    current = quality_queries.current_disqualification(person)
    if current is None:
        raise quality.QualityError(f"{person} is not disqualified; reload the page")
    quality.lift(current, reason, request.user)
    return current


@leads_only
@require_POST
def rebuild(request: SignedInRequest, user_id: int, export_id: int) -> HttpResponse:
    person = get_object_or_404(quality_queries.annotator_rows(request.user), pk=user_id)
    export: Export = get_object_or_404(visible_exports(request.user), pk=export_id)
    try:
        quality.refuse_rebuild(export, person)
    except quality.QualityError as error:
        messages.error(request, f"Nothing was made: {error}.")
        return redirect("annotator", user_id=person.pk)
    return ask_and_follow(request, REBUILD.name, export.round, export=export.pk, person=person.pk)


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
    is_simulated = not vote_queries.has_votes(round, is_simulated=False)
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
