"""What a DPO run would train on, take and risk. Nothing is started, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from annotate.jobs.queries import dpo_curves
from annotate.jobs.runs import read_request
from annotate.models import Round, Run
from annotate.rounds.rounds import refuse_comparison
from annotate.training.queries import PairSet, finished_trainings, pair_facts
from generator.rundir import RunError
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import Device, Estimate, PastRun, estimate
from rlhf.dpo.form import read_form, settings_of, written
from rlhf.dpo.preflight.checks import find_warnings
from rlhf.dpo.preflight.facts import PairFacts, PreflightWarning


@dataclass(frozen=True)
class Preview:
    """A run as it would be launched now."""

    config: FlowDPOConfig
    facts: PairFacts
    digest: str
    warnings: list[PreflightWarning]
    estimate: Estimate | None
    has_history: bool

    @property
    def blocks(self) -> bool:
        return any(warning.blocks for warning in self.warnings)


def dry_run(round: Round, chosen: PairSet, settings: Mapping[str, str]) -> Preview:
    """Look at the pairs and settings of a form; what it leaves out is the round's own.

    Raises:
        ValueError: a setting that cannot be used; the message names it.
        RoundError: the round compares models.
    """
    refuse_comparison(round)
    config = read_form(settings, FlowDPOConfig.from_json(round.dpo))
    facts = pair_facts(round, chosen)
    past = past_runs(round)
    return Preview(
        config=config,
        facts=facts,
        digest=chosen.digest,
        warnings=find_warnings(facts, config),
        estimate=estimate(_on_device(config, facts.device), facts.num_pairs, past, facts.device),
        has_history=bool(past),
    )


def run_config(run: Run) -> FlowDPOConfig | None:
    """The settings of a DPO run, with the numbers that its device chose where it was left to.

    None where its folder is gone or of another version.
    """
    try:
        config = FlowDPOConfig.from_json(read_request(run).get("config", {}))
    except (RunError, ValueError):
        return None
    took = (run.result or {}).get("precision")
    return replace(config, bf16=took["bf16"]) if took else config


def _on_device(config: FlowDPOConfig, device: Device | None) -> FlowDPOConfig:
    """The settings as the device would fill them in."""
    return replace(config, bf16=device.suits_bf16) if device and config.bf16 is None else config


def settings_in(config: FlowDPOConfig) -> list[tuple[str, str, str]]:
    """Every setting as a form writes it: its name, its value and its default."""
    return [
        (setting.name, written(getattr(config, setting.name)), setting.default)
        for setting in settings_of(FlowDPOConfig)
    ]


def past_runs(round: Round) -> list[PastRun]:
    return [_past_run(run, config) for run in finished_trainings(round) if (config := run_config(run))]


def _past_run(run: Run, config: FlowDPOConfig) -> PastRun:
    lines = [line for line in dpo_curves(run) if "seconds" in line]
    memory = [int(line["memory_bytes"]) for line in lines if "memory_bytes" in line]
    seconds = tuple(float(line["seconds"]) for line in lines)
    assert run.started_at and run.ended_at and run.result
    elapsed = (run.ended_at - run.started_at).total_seconds()
    return PastRun(
        name=str(run),
        config=config,
        seconds=seconds,
        other_seconds=max(0.0, elapsed - sum(seconds)),
        num_pairs=int(run.result["num_pairs"]) + int(run.result.get("num_held_out_pairs", 0)),
        memory_bytes=max(memory, default=None),
    )
