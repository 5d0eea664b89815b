"""Prompts that models write: who is asked, what it cost, what failed, and what is missing."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from annotate.core.access import SignedInRequest, has_seen, leads_only
from annotate.jobs import tasks
from annotate.jobs.queries import news_of_stage, progress_of
from annotate.models import LIVE, Run, RunStatus, Split, Stage
from annotate.people import queries as curation_queries
from annotate.prompts.generated import missing_of
from annotate.prompts.prompt_runs import prompt_models, queue_prompts
from generator.instances import Draw

#: Missing prompts that the page names; the folder's `missing.json` has them all.
MISSING_SHOWN = 20


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def prompt_runs(request: SignedInRequest) -> HttpResponse:
    """The whole page; while a run is live, its `#runs` part is asked for again and again."""
    if request.method != "POST":
        news = news_of_stage(Stage.PROMPTS)
        if has_seen(request, news):
            return HttpResponse(status=204)
        template = "annotate/prompts/prompt_runs.html" + ("#runs" if request.htmx else "")
        return render(request, template, _context() | {"news": news})
    try:
        draw, split = _draw(request.POST.dict())
        run, report = queue_prompts(draw, split=split, actor=request.user)
    except ValueError as error:
        context = _context() | {"problem": str(error), "values": request.POST}
        return render(request, "annotate/prompts/prompt_runs.html", context, status=422)
    if run is None:
        messages.info(request, f"Nothing to ask: all {report.instances} prompts of this draw are there.")
    tasks.send_run(run)
    for line in report.left_out[:5]:
        messages.info(request, f"Left out: {line}.")
    return redirect("prompt_runs")


def _draw(given: dict[str, str]) -> tuple[Draw, str | None]:
    """What the form asks for.

    Raises:
        ValueError: a value is no number or out of its range; the message names it.
    """
    split = given.get("split") or None
    if split is not None and split not in Split.values:
        raise ValueError(f"split is {split!r}; it must be one of {', '.join(Split.values)}, or empty")
    count = _number(given, "per_identity", 1, 100)
    references = _number(given, "references", 1, 5) if given.get("references") else None
    return Draw(count, _number(given, "seed", 0, 2**31), references, with_target=True), split


def _number(given: dict[str, str], name: str, low: int, high: int) -> int:
    text = given.get(name, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and low <= int(text) <= high):
        words = name.replace("_", " ")
        raise ValueError(f"{words} is {text!r}; it must be a whole number from {low} to {high}")
    return int(text)


def _shown(run: Run, progress: dict[str, Any], num_instances: int) -> dict[str, Any]:
    """A run as the page tells of it; its summary is there once it has ended."""
    summary, missing = missing_of(run) if run.status == RunStatus.FAILED else (None, [])
    return {
        "run": run,
        "progress": progress,
        "num_instances": num_instances,
        "summary": run.result["summary"] if run.result else summary,
        "missing": missing[:MISSING_SHOWN],
        "num_missing": len(missing),
        "can_retry": run.status in (RunStatus.FAILED, RunStatus.CANCELLED),
    }


def _context() -> dict[str, Any]:
    runs = list(curation_queries.prompt_runs()[:20])
    progress, instances = progress_of(runs), curation_queries.num_instances_of(runs)
    context: dict[str, Any] = {
        "runs": [_shown(run, progress[run.pk], instances.get(run.pk, 0)) for run in runs],
        "is_live": any(run.status in LIVE for run in runs),
        "splits": Split.values,
        "values": {"per_identity": "4", "seed": "0"},
    }
    try:
        models = prompt_models()
    except ValueError as error:
        return context | {"unset": str(error)}
    asked = {role.capitalize(): models[role] for role in ("describer", "comparer") if models.get(role)}
    return context | {"backends": asked, "gamma": models.get("gamma")}
