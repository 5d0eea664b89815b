"""One run: how it goes, why it ended, and what can be done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotate.background.views import look
from annotate.core.access import SignedInRequest, has_seen, leads_only, visible_runs
from annotate.core.errors import RoundError
from annotate.core.files import media_view, requester, stored_file
from annotate.database import clock
from annotate.jobs import runs, tasks
from annotate.jobs.queries import live_run, news_of_run, run_progress
from annotate.jobs.run_logs import is_disk_full, log_tail
from annotate.jobs.shard_queries import shard_details
from annotate.jobs.stages import work_of
from annotate.models import Job, Run, RunStatus, Stage
from annotate.training.approvals import approve_run
from annotate.training.background import LOOK
from annotate.training.preview import run_config
from annotate.training.queries import Looked, is_quick
from annotate.training.run_clips import clip_path
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.preflight.checks import find_warnings


@leads_only
def run_detail(request: SignedInRequest, run_id: int) -> HttpResponse:
    """The whole page; while the run is live, its `#live` part is asked for again and again."""
    news = news_of_run(run_id)
    if has_seen(request, news):
        return HttpResponse(status=204)
    run = get_object_or_404(visible_runs(request.user), pk=run_id)
    template = "annotate/training/run.html" + ("#live" if request.htmx else "")
    return render(request, template, _context(run, request) | {"news": news})


def _context(run: Run, request: SignedInRequest) -> dict[str, Any]:
    rests = run.status in (RunStatus.FAILED, RunStatus.CANCELLED)
    now = clock.now()
    return {
        "run": run,
        "progress": run_progress(run),
        "silent_s": _seconds(run.heartbeat_at, now),
        "is_lost": run.heartbeat_at is not None and now - run.heartbeat_at > runs.LOST_AFTER,
        "log": "\n".join(log_tail(run)),
        "can_retry": rests and not (run.round and live_run(run.round, run.stage)),
        "can_approve": run.status == RunStatus.WAITING and run.launched_by_id != request.user.pk,
        "remedy": disk_full_remedy(run),
        **shard_details(run),
        "unit": sharding.unit if (sharding := work_of(run.stage).sharding) else "",
        **work_of(run.stage).details(run),
        **_warnings(request, run),
    }


def _warnings(request: SignedInRequest, run: Run) -> dict[str, Any]:
    """What whoever approves has to know: the same warnings that the launcher saw."""
    config = run_config(run) if run.status == RunStatus.WAITING else None
    if not isinstance(config, FlowDPOConfig) or run.round is None or run.export is None:
        return {}
    values = {"export": run.export.pk, "rule": run.export.rule, "include_simulated": True}
    found = look(request, LOOK, run.round, is_quick=is_quick(run.round, run.export), **values)
    if isinstance(found, Job):
        return {"looking": found}
    return {"warnings": find_warnings(Looked.from_json(found).facts, config)}


def _seconds(first: datetime | None, last: datetime | None) -> float | None:
    return (last - first).total_seconds() if first and last else None


def disk_full_remedy(run: Run) -> dict[str, str] | None:
    if run.status != RunStatus.FAILED or not is_disk_full(run.error):
        return None
    return {"message": "Free space on the disk of the run folders; the run then goes on where it stopped."}


@leads_only
@require_POST
def approve(request: SignedInRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(visible_runs(request.user), pk=run_id)
    try:
        approve_run(run, request.user)
    except RoundError as error:
        messages.error(request, str(error))
    else:
        tasks.send_run(run)
        messages.info(request, f"{run} is queued.")
    return redirect("run", run_id=run.pk)


@leads_only
@require_POST
def cancel(request: SignedInRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(visible_runs(request.user), pk=run_id)
    if not runs.cancel_run(run, request.user):
        messages.error(request, f"{run} had ended already: {run.status}.")
    return _back(request, run)


@leads_only
@require_POST
def retry(request: SignedInRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(visible_runs(request.user), pk=run_id)
    if runs.retry_run(run, request.user):
        run.refresh_from_db()
        tasks.send_run(run)
    else:
        messages.error(
            request,
            f"{run} is {run.status}; a failed or cancelled run can be tried again, while no other "
            f"{run.stage} run is under way.",
        )
    return _back(request, run)


def _back(request: SignedInRequest, run: Run) -> HttpResponse:
    """To the page that the button was on; runs of prompts have one of their own."""
    if request.POST.get("from") != "run":
        if run.round_id is not None:
            return redirect("round", round_id=run.round_id)
        if run.stage == Stage.PROMPTS:
            return redirect("prompt_runs")
    return redirect("run", run_id=run.pk)


@media_view
def run_clip_media(request: HttpRequest, run_id: int, step: int, name: str) -> HttpResponseBase:
    stages = (Stage.SFT, Stage.DPO)
    run = visible_runs(requester(request)).filter(pk=run_id, stage__in=stages).first()
    if run is None:
        raise Http404
    return stored_file(request, clip_path(run, step, name))
