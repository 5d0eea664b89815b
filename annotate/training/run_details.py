"""What the page of a Flow-DPO run shows of training: curves, clips, settings, warnings, remedies."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from annotate.jobs.queries import dpo_curves
from annotate.jobs.run_logs import is_out_of_memory
from annotate.models import Run, RunStatus
from annotate.training import queries as launch_queries
from annotate.training.preview import run_config, settings_in
from annotate.training.run_clips import shown_pairs
from annotate.training.run_curves import plots_by_time, run_plots
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import less_memory, with_less_memory
from rlhf.dpo.form import written
from rlhf.dpo.preflight.checks import find_warnings


def dpo_details(run: Run) -> dict[str, Any]:
    rows, config = dpo_curves(run), run_config(run)
    details = {
        "remaining_s": _remaining(run, rows),
        "plots": run_plots(rows),
        "by_time": plots_by_time(rows),
        "shown": shown_pairs(run),
        "early_end": (run.result or {}).get("early_end"),
    }
    return details if config is None else details | _details_of_config(run, config)


def _details_of_config(run: Run, config: FlowDPOConfig) -> dict[str, Any]:
    remedy = _memory_remedy(run, config)
    return {
        "shows_samples": config.sample_every > 0,
        "settings": _settings(config),
        "warnings": _warnings(run, config) if run.status == RunStatus.WAITING else [],
        **({"remedy": remedy} if remedy else {}),
    }


def _remaining(run: Run, rows: list[dict[str, Any]]) -> float | None:
    """By the pace of the last steps."""
    last = [row["seconds"] for row in rows[-20:] if "seconds" in row]
    if run.status != RunStatus.RUNNING or not last or "steps" not in rows[-1]:
        return None
    return float((rows[-1]["steps"] - rows[-1]["step"]) * sum(last) / len(last))


def _settings(config: FlowDPOConfig) -> list[dict[str, Any]]:
    """Every setting, those that differ from the defaults first."""
    shown = [{"name": n, "value": v, "default": d, "is_changed": v != d} for n, v, d in settings_in(config)]
    return sorted(shown, key=lambda setting: not setting["is_changed"])


def _warnings(run: Run, config: FlowDPOConfig) -> list[Any]:
    """What whoever approves has to know: the same warnings that the launcher saw."""
    assert run.round is not None and run.export is not None
    chosen = launch_queries.pair_set(run.round, run.export, include_simulated=True)
    return find_warnings(launch_queries.pair_facts(run.round, chosen), config)


def _memory_remedy(run: Run, config: FlowDPOConfig) -> dict[str, Any] | None:
    """What to do about memory that ran out."""
    if run.status != RunStatus.FAILED or not is_out_of_memory(run.error):
        return None
    change = less_memory(config)
    if not change:
        return {"message": "No setting is left that only saves memory: lower rank, or use a larger machine."}
    values = {name: value for name, value, _ in settings_in(with_less_memory(config))}
    shown = ", ".join(f"{name} {written(value)}" for name, value in change.items())
    return {
        "message": f"If memory ran out: with {shown} it needs less, and learns the same.",
        "url": f"{reverse('launch', args=[run.round_id])}?{urlencode(values | {'export': run.export_id})}",
    }
