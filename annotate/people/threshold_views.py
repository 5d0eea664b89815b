"""What each threshold costs, before it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from annotate.background.views import ask_and_follow, look
from annotate.core.access import SignedInRequest, leads_only
from annotate.models import AppliedThresholds, Curation, Job
from annotate.people import queries as curation_queries
from annotate.people.background import APPLY_THRESHOLDS, LOOK
from annotate.tallies.queries import counts_of_site
from generator.curation.filters import THRESHOLDS_SHOWN, Thresholds, WhatIf
from generator.validation import fields_of

#: References that are looked at within a request; more are looked at by a worker.
QUICK_REFERENCES = 5_000
#: Name -> what it is, and its unit.
WORDS = {name: field.description for name, field in fields_of(Thresholds).items()}


@dataclass(frozen=True)
class ThresholdRow:
    """One threshold: as it holds, as it is tried, and what it would cost at this and other values."""

    name: str
    words: str
    now: float
    tried: float
    entered: str
    costs: list[WhatIf]

    @property
    def at_tried(self) -> WhatIf:
        return next(cost for cost in self.costs if cost.is_current)

    @property
    def step(self) -> str:
        return "1" if isinstance(self.now, int) else "any"


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def thresholds(request: SignedInRequest) -> HttpResponse:
    """GET shows what the tried values cost; POST lets them hold and judges everybody by them."""
    now = curation_queries.thresholds_now()
    given = request.POST if request.method == "POST" else request.GET
    tried, problem = now, ""
    try:
        tried = _tried(now, given.dict())
        if request.method == "POST":
            return ask_and_follow(request, APPLY_THRESHOLDS.name, **asdict(tried))
    except ValueError as error:
        problem = str(error)
    is_quick = counts_of_site()[f"references.{Curation.DONE}"] <= QUICK_REFERENCES
    found = look(request, LOOK, is_quick=is_quick, **asdict(tried))
    looking = found if isinstance(found, Job) else None
    costs = [] if isinstance(found, Job) else [WhatIf(**cost) for cost in found["costs"]]
    context = {
        "rows": _rows(costs, now, tried, given.dict()),
        "looking": looking,
        "num_references": None if isinstance(found, Job) else found["num_references"],
        "is_changed": tried != now,
        "problem": problem,
        "applied": AppliedThresholds.objects.select_related("author").last(),
    }
    return render(request, "annotate/people/thresholds.html", context, status=422 if problem else 200)


def _tried(now: Thresholds, given: Mapping[str, str]) -> Thresholds:
    """The thresholds that a form names; what it leaves out stays.

    Raises:
        ValueError: a value that is no number, or out of its range.
    """
    values = asdict(now)
    for name, value in values.items():
        text = given.get(name, "").strip()
        if text:
            try:
                values[name] = type(value)(text)
            except ValueError:
                raise ValueError(f"{WORDS[name]}: {text!r} is not such a number, like {value:g}") from None
    try:
        return Thresholds(**values)
    except ValueError as error:
        name, _, why = str(error).partition(" is ")
        raise ValueError(f"{WORDS[name]}: {why}" if name in WORDS else str(error)) from None


def _rows(
    costs: list[WhatIf], now: Thresholds, tried: Thresholds, given: Mapping[str, str]
) -> list[ThresholdRow]:
    """Without costs while a worker looks; what was entered stays, also where it cannot be used."""
    by_name: dict[str, list[WhatIf]] = {name: [] for name in THRESHOLDS_SHOWN}
    for cost in costs:
        by_name[cost.threshold].append(cost)
    return [
        ThresholdRow(name, WORDS[name], getattr(now, name), getattr(tried, name), given.get(name, ""), group)
        for name, group in by_name.items()
    ]
