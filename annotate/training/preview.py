"""What a DPO run would train on, take and risk. Nothing is started, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from annotate.jobs import run_workers
from annotate.jobs.queries import dpo_curves
from annotate.jobs.runs import read_request
from annotate.models import Round, Run, Stage
from annotate.rounds.rounds import refuse_comparison
from annotate.training.queries import Looked, finished_trainings
from generator.rundir import RunError
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.estimate import Device, Estimate, PastRun, estimate, items_per_step
from rlhf.dpo.form import read_form, settings_of, written
from rlhf.dpo.preflight.checks import find_warnings
from rlhf.dpo.preflight.facts import PairFacts, PreflightWarning
from rlhf.sft.config import SFTConfig
from rlhf.training.config import SampledConfig

#: The settings of each kind of training.
CONFIGS: Mapping[str, type[SampledConfig]] = {Stage.SFT: SFTConfig, Stage.DPO: FlowDPOConfig}
#: By which names results count what they encoded once.
ITEMS = ("num_pairs", "num_held_out_pairs", "num_instances")
Config = TypeVar("Config", bound=SampledConfig)


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

    @property
    def items_per_step(self) -> int:
        return items_per_step(self.config)


def dry_run(round: Round, looked: Looked, settings: Mapping[str, str]) -> Preview:
    """The pairs that were looked at with the settings of a form; what it leaves out is the round's own.

    Raises:
        ValueError: a setting that cannot be used; the message names it.
        RoundError: the round compares models.
    """
    refuse_comparison(round)
    config = read_form(settings, FlowDPOConfig.from_json(round.dpo))
    facts = looked.facts
    past = past_runs(finished_trainings(round))
    return Preview(
        config=config,
        facts=facts,
        digest=looked.digest,
        warnings=[*find_warnings(facts, config), *fleet_warnings(config)],
        estimate=estimate(on_device(config, facts.device), facts.num_pairs, past, facts.device),
        has_history=bool(past),
    )


def fleet_warnings(config: SampledConfig) -> list[PreflightWarning]:
    """Whether a run would wait for a worker that nobody has heard of."""
    largest = run_workers.present().first()
    if config.devices == 1 or (largest is not None and largest.devices >= config.devices):
        return []
    says = f"No worker that is there now has {config.devices} devices"
    says += f"; the largest is {largest.machine} with {largest.devices}." if largest else "."
    remedy = "Lower devices, or start a worker that has them; the run waits for it."
    return [PreflightWarning("no_worker", says, remedy)]


def run_config(run: Run) -> SampledConfig | None:
    """The settings of a training, with the numbers that its device chose where it was left to.

    None where its folder is gone or of another version, or it is no training.
    """
    kind = CONFIGS.get(run.stage)
    try:
        config = kind.from_json(read_request(run).get("config", {})) if kind else None
    except (RunError, ValueError):
        return None
    took = (run.result or {}).get("precision")
    return replace(config, bf16=took["bf16"]) if config and took else config


def on_device(config: Config, device: Device | None) -> Config:
    """The settings as the device would fill them in."""
    return replace(config, bf16=device.suits_bf16) if device and config.bf16 is None else config


def settings_in(config: SampledConfig) -> list[tuple[str, str, str]]:
    """Every setting as a form writes it: its name, its value and its default."""
    return [
        (setting.name, written(getattr(config, setting.name)), setting.default)
        for setting in settings_of(type(config))
    ]


def past_runs(trainings: Iterable[Run]) -> list[PastRun]:
    """What finished trainings took."""
    return [_past_run(run, config) for run in trainings if (config := run_config(run))]


def _past_run(run: Run, config: SampledConfig) -> PastRun:
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
        num_pairs=sum(int(run.result.get(name, 0)) for name in ITEMS),
        memory_bytes=max(memory, default=None),
    )
