"""How long a training will take and what it needs, from what earlier runs took on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from rlhf.dpo.config import FlowDPOConfig
from rlhf.training.config import RunConfig

Config = TypeVar("Config", bound=RunConfig)

#: How many times as long bfloat16 may take as float32 before a run in it is warned of.
SLOW = 2.0
#: What decides how much a pair, or an instance, costs; runs that differ in one of them say nothing about each
#: other. A kind of training has those of them that its settings have.
COST = (
    "mode",
    "rank",
    "targets",
    "bf16",
    "gradient_checkpointing",
    "kept_activations",
    "compiled",
    "attention",
    "split_branches",
    "branch_parallel",
    "sharded",
)


@dataclass(frozen=True)
class PastRun:
    """What a finished run took."""

    name: str  # of the run
    config: RunConfig  # its settings
    seconds: tuple[float, ...]  # of each step
    other_seconds: float  # from start to end, without the steps: loading, encoding, evaluation, saving
    num_pairs: int  # of its export, or instances of its set
    memory_bytes: int | None = None  # the most that it held; None where it did not say


@dataclass(frozen=True)
class Device:
    """What the last run says of the device that it ran on."""

    name: str  # "cuda" or "cpu"
    suits_bf16: bool  # whether it computes faster in bfloat16
    slowdown: float | None  # seconds of bfloat16 per second of float32; None where nobody measured

    @property
    def is_slow_in_bf16(self) -> bool:
        """Whether bfloat16 is emulated there, which takes many times as long."""
        return self.slowdown is not None and self.slowdown >= SLOW


@dataclass(frozen=True)
class Estimate:
    """What a run will probably take."""

    seconds: float  # from start to end
    seconds_per_step: float  # of them
    memory_bytes: int | None  # the most that it will hold; None where nobody measured it
    runs: tuple[str, ...]  # that it is estimated from
    #: What their steps were multiplied by, since they computed in float32; 1 where they did not.
    slowdown: float = 1.0
    #: Devices of these runs, where none had as many as the run to come.
    other_devices: int | None = None


def estimate(
    config: RunConfig, num_pairs: int, past: Sequence[PastRun], device: Device | None = None
) -> Estimate | None:
    """Scale what a pair took in runs of the same cost; None without one.

        seconds = steps * pairs per step * median(seconds per pair) + median(other seconds per pair) * pairs

    on each device. Memory, likewise of each, is the largest of runs with as large a batch, since it does not
    scale in proportion. Where a device emulates bfloat16 and only float32 was run, its measured slowdown
    multiplies the steps.

    Runs on another number of devices count where none had as many: GPUs take as long each, but processes on
    one CPU share its cores. What they held says nothing where weights are shared out.

    Args:
        config: of the run to come, with what its device would choose.
        num_pairs: of its export.
        past: runs of the same model at the same size of videos.
        device: that it will run on; None where no run has said anything of it.
    """
    alike, slowdown = _alike(config, past), 1.0
    if not alike and config.bf16 and device and device.is_slow_in_bf16:
        alike, slowdown = _alike(replace(config, bf16=False), past), device.slowdown or 1.0
    if not alike:
        return None
    theirs = alike[0].config.devices
    crowding = config.devices / theirs if device and device.name == "cpu" else 1.0
    a_pair = median(second / pairs_per_step(run.config) for run in alike for second in run.seconds)
    other = median(run.other_seconds / run.num_pairs for run in alike)
    step = crowding * slowdown * a_pair * pairs_per_step(config)
    told = alike if theirs == config.devices or not config.sharded else []
    memory = [run.memory_bytes for run in told if run.config.batch_size == config.batch_size]
    known = [size for size in memory if size is not None]
    return Estimate(
        seconds=config.steps * step + other * num_pairs,
        seconds_per_step=step,
        memory_bytes=max(known, default=None),
        runs=tuple(run.name for run in alike),
        slowdown=slowdown,
        other_devices=None if theirs == config.devices else theirs,
    )


def pairs_per_step(config: RunConfig) -> int:
    """Pairs that one optimizer step meets on one device."""
    return config.batch_size * config.accumulation


def items_per_step(config: RunConfig) -> int:
    """Items that one optimizer step meets on all devices; those of a pair's two branches meet the same."""
    shared = 2 if isinstance(config, FlowDPOConfig) and config.branch_parallel else 1
    return max(1, pairs_per_step(config) * config.devices // shared)


def less_memory(config: RunConfig) -> Mapping[str, object]:
    """The next setting that makes a run fit into less memory without changing what it learns.

    In the order of what it costs: recomputing activations, keeping none of them, one branch at a time (one
    more forward pass), smaller batches added up. Empty where nothing is left but a lower rank or a larger
    machine.
    """
    if not config.gradient_checkpointing:
        kept = "none" if config.compiled else "attention"
        return {"gradient_checkpointing": True, "kept_activations": kept}
    if config.kept_activations != "none":
        return {"kept_activations": "none"}
    if isinstance(config, FlowDPOConfig) and not (config.split_branches or config.branch_parallel):
        return {"split_branches": True}
    divisor = next((n for n in range(2, config.batch_size + 1) if config.batch_size % n == 0), None)
    if divisor:
        return {
            "batch_size": config.batch_size // divisor,
            "accumulation": config.accumulation * divisor,
        }
    return {}


def with_less_memory(config: Config) -> Config:
    """The settings after `less_memory`."""
    return replace(config, **less_memory(config))  # type: ignore[arg-type]


def _alike(config: RunConfig, past: Sequence[PastRun]) -> list[PastRun]:
    """Runs of the same cost on as many devices, or, where there are none, on the number nearest to that."""
    alike = [run for run in past if run.seconds and run.num_pairs and _cost(run.config) == _cost(config)]
    numbers = {run.config.devices for run in alike}
    nearest = min(numbers, key=lambda number: abs(number - config.devices), default=0)
    return [run for run in alike if run.config.devices == nearest]


def _cost(config: RunConfig) -> tuple[object, ...]:
    return tuple(getattr(config, name, None) for name in COST)
