"""What the page of a training shows: curves, clips, settings, warnings, remedies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from annotate.jobs.queries import dpo_curves
from annotate.jobs.run_logs import is_out_of_memory
from annotate.models import Run, RunStatus
from annotate.training.preview import run_config, settings_in
from annotate.training.run_clips import Tell, shown_inputs, tell_of_pairs
from annotate.training.run_curves import plots_by_time, run_plots
from rlhf.dpo.estimate import less_memory, with_less_memory
from rlhf.dpo.form import written
from rlhf.plots.pages import Plot
from rlhf.training.config import SampledConfig


def dpo_details(run: Run) -> dict[str, Any]:
    rows, config = dpo_curves(run), run_config(run)
    details = training_details(run, config, run_plots(rows), tell_of_pairs)
    details |= {"by_time": plots_by_time(rows), "early_end": (run.result or {}).get("early_end")}
    return details


def training_details(
    run: Run, config: SampledConfig | None, plots: Sequence[Plot], tell: Tell
) -> dict[str, Any]:
    """What the pages of all trainings show: time left, curves, clips, settings, and help with memory."""
    details = {
        "remaining_s": _remaining(run, dpo_curves(run)),
        "plots": plots,
        "shown": shown_inputs(run, tell),
    }
    if config is None:
        return details
    remedy = _memory_remedy(run, config)
    return {
        **details,
        "shows_samples": config.sample_every > 0,
        "settings": _settings(config),
        **({"remedy": remedy} if remedy else {}),
    }


def _remaining(run: Run, rows: list[dict[str, Any]]) -> float | None:
    """By the pace of the last steps."""
    last = [row["seconds"] for row in rows[-20:] if "seconds" in row]
    if run.status != RunStatus.RUNNING or not last or "steps" not in rows[-1]:
        return None
    return float((rows[-1]["steps"] - rows[-1]["step"]) * sum(last) / len(last))


def _settings(config: SampledConfig) -> list[dict[str, Any]]:
    """Every setting, those that differ from the defaults first."""
    shown = [{"name": n, "value": v, "default": d, "is_changed": v != d} for n, v, d in settings_in(config)]
    return sorted(shown, key=lambda setting: not setting["is_changed"])


def _memory_remedy(run: Run, config: SampledConfig) -> dict[str, Any] | None:
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
        "url": f"{_launch_of(run)}{urlencode(values)}",
    }


def _launch_of(run: Run) -> str:
    """Where the same could be launched with other settings, which follow."""
    if run.round_id is None:
        return f"{reverse('sft')}?policy={run.policy_id}&set={run.training_set_id}&"
    return f"{reverse('launch', args=[run.round_id])}?export={run.export_id}&"
