"""One run: how it goes, why it ended, and what can be done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from annotate.core.access import SignedInRequest, leads_only, visible_runs
from annotate.core.errors import RoundError
from annotate.database import clock
from annotate.evaluation.views import evaluation_tables
from annotate.jobs import runs, tasks
from annotate.jobs.queries import dpo_curves, live_run, run_progress
from annotate.jobs.run_logs import is_disk_full, is_out_of_memory, log_tail
from annotate.models import Run, RunStatus, Stage
from annotate.training import queries as launch_queries
from annotate.training.approvals import approve_run
from annotate.training.preview import run_config
from annotate.training.run_clips import shown_pairs
from annotate.training.run_curves import plots_by_time, run_plots
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import less_memory, with_less_memory
from rlhf.dpo.preflight import find_traps
from rlhf.training.form import settings_of, written


@leads_only
def run_detail(request: SignedInRequest, run_id: int) -> HttpResponse:
    """The whole page; while the run is live, its `#live` part is asked for again and again."""
    run = get_object_or_404(visible_runs(request.user), pk=run_id)
    template = "annotate/training/run.html" + ("#live" if request.htmx else "")
    return render(request, template, _context(run, request))


def _context(run: Run, request: SignedInRequest) -> dict[str, Any]:
    rows = dpo_curves(run) if run.stage == Stage.DPO else []
    config = run_config(run) if run.stage == Stage.DPO else None
    rests = run.status in (RunStatus.FAILED, RunStatus.CANCELLED)
    now = clock.now()
    return {
        "run": run,
        "progress": run_progress(run),
        "remaining_s": _remaining(run, rows),
        "took_s": _seconds(run.started_at, run.ended_at),
        "silent_s": _seconds(run.heartbeat_at, now),
        "is_lost": run.heartbeat_at is not None and now - run.heartbeat_at > runs.LOST_AFTER,
        "plots": run_plots(rows),
        "by_time": plots_by_time(rows),
        "shown": shown_pairs(run) if run.stage == Stage.DPO else [],
        "shows_samples": config is not None and config.sample_every > 0,
        "log": "\n".join(log_tail(run)),
        "settings": _settings(config) if config else [],
        "traps": _traps(run, config) if config and run.status == RunStatus.WAITING else [],
        "can_retry": rests and not (run.round and live_run(run.round, run.stage)),
        "can_approve": run.status == RunStatus.WAITING and run.launched_by_id != request.user.pk,
        "remedy": _remedy(run, config),
        "early_end": (run.result or {}).get("early_end"),
        "evaluation": evaluation_tables(run) if run.stage == Stage.EVALUATE and run.result else None,
    }


def _seconds(first: datetime | None, last: datetime | None) -> float | None:
    return (last - first).total_seconds() if first and last else None


def _remaining(run: Run, rows: list[dict[str, Any]]) -> float | None:
    """By the pace of the last steps."""
    last = [row["seconds"] for row in rows[-20:] if "seconds" in row]
    if run.status != RunStatus.RUNNING or not last or "steps" not in rows[-1]:
        return None
    return float((rows[-1]["steps"] - rows[-1]["step"]) * sum(last) / len(last))


def _settings(config: FlowDPOConfig) -> list[dict[str, Any]]:
    """Every setting, those that differ from the defaults first."""
    values = [
        (one.name, written(getattr(config, one.name)), one.default) for one in settings_of(FlowDPOConfig)
    ]
    shown = [{"name": n, "value": v, "default": d, "is_changed": v != d} for n, v, d in values]
    return sorted(shown, key=lambda one: not one["is_changed"])


def _traps(run: Run, config: FlowDPOConfig) -> list[Any]:
    """What whoever approves has to know: the same traps that the launcher saw."""
    assert run.round is not None and run.export is not None
    chosen = launch_queries.pair_set(run.round, run.export, include_simulated=True)
    return find_traps(launch_queries.pair_facts(run.round, chosen), config)


def _remedy(run: Run, config: FlowDPOConfig | None) -> dict[str, Any] | None:
    """What to do about a failure that says how it can be helped."""
    if run.status != RunStatus.FAILED:
        return None
    if is_disk_full(run.error):
        return {"says": "Free space on the disk of the run folders; the run then goes on where it stopped."}
    if not is_out_of_memory(run.error) or config is None:
        return None
    change = less_memory(config)
    if not change:
        return {"says": "No setting is left that only saves memory: lower rank, or use a larger machine."}
    smaller = with_less_memory(config)
    values = {one.name: written(getattr(smaller, one.name)) for one in settings_of(FlowDPOConfig)}
    shown = ", ".join(f"{name} {written(value)}" for name, value in change.items())
    return {
        "says": f"If memory ran out: with {shown} it needs less, and learns the same.",
        "url": f"{reverse('launch', args=[run.round_id])}?{urlencode(values | {'export': run.export_id})}",
    }


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
    """To the page that the button was on; runs without a round have one of their own."""
    if run.round_id is None:
        return redirect("prompt_runs")
    if request.POST.get("from") == "run":
        return redirect("run", run_id=run.pk)
    return redirect("round", round_id=run.round_id)
