"""Warnings in the settings of a run: its strength, its guards, its device."""

from __future__ import annotations

from collections.abc import Iterator

from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.preflight.facts import PairFacts, PreflightWarning
from rlhf.training.config import RunConfig

#: Betas that were reported to work lie between these; Flow-DPO and Diffusion-DPO would write 200 to 5000.
SANE_BETA = (100.0, 2500.0)
#: Above these, training was reported to spike and then to collapse: large models, and small ones.
HIGH_RATE_LARGE = 5e-5
HIGH_RATE_SMALL = 5e-4


def strength(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """How hard the run pulls."""
    low, high = SANE_BETA
    other = f"(Flow-DPO and Diffusion-DPO would call it {2 * config.beta:g})"
    if config.beta < low:
        yield PreflightWarning(
            "low_beta",
            f"beta {config.beta:g} {other} hardly holds the model to its parent: videos fall apart.",
            f"Raise it to between {low:g} and {high:g}; start from 250 or 1000.",
        )
    if config.beta > high:
        yield PreflightWarning(
            "high_beta",
            f"beta {config.beta:g} {other} lets hardly anything move.",
            f"Lower it to {high:g} or less; halve a value that comes from one of their papers.",
        )
    limit = HIGH_RATE_LARGE if facts.is_large else HIGH_RATE_SMALL
    if config.learning_rate > limit:
        yield PreflightWarning(
            "high_rate",
            f"learning_rate {config.learning_rate:g} is above {limit:g}: such runs spike, then collapse.",
            f"Lower it to {limit / 5:g}; raise beta before raising the rate.",
        )
    if config.warmup_steps >= config.steps:
        yield PreflightWarning(
            "all_warmup",
            f"The warm-up of {config.warmup_steps} steps never ends in {config.steps}.",
            "Raise steps, or lower warmup_steps.",
        )


def guards(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """What would stop a run that goes wrong."""
    if config.guard == "none":
        yield PreflightWarning(
            "no_guard",
            "The guard is off: the margin can grow while chosen videos get worse, too.",
            "Set guard to sdpo.",
        )
    if round(config.held_out * len(facts.identities)) == 0:
        yield PreflightWarning(
            "nobody_held_out",
            f"held_out {config.held_out:g} of {len(facts.identities)} identities is nobody: "
            "no early end, no figures on people whom the run does not train on.",
            "Raise held_out, or judge pairs of more people.",
        )
    elif config.steps < 3 * config.evaluate_every:
        yield PreflightWarning(
            "few_evaluations",
            f"{config.steps} steps, evaluated every {config.evaluate_every}: an early end needs three.",
            f"Lower evaluate_every to {max(1, config.steps // 5)}.",
        )


def devices(facts: PairFacts, config: FlowDPOConfig) -> Iterator[PreflightWarning]:
    """Settings that the device cannot follow, or so many of them."""
    if config.branch_parallel and config.devices % 2:
        yield PreflightWarning(
            "branch_parallel",
            f"branch_parallel needs an even number of devices, and devices is {config.devices}.",
            f"Set devices to {config.devices + 1}, or switch it off.",
            blocks=True,
        )
    yield from sharing(config)
    if config.bf16 and facts.device and facts.device.is_slow_in_bf16:
        yield PreflightWarning(
            "slow_bf16",
            f"bfloat16 takes about {facts.device.slowdown:.0f} times as long as float32 on the "
            f"{facts.device.name} of the last run, which has no units for it.",
            "Leave bf16 empty: the device then takes what it is fast at.",
        )


def sharing(config: RunConfig) -> Iterator[PreflightWarning]:
    """Weights that would be shared with nobody; of every kind of training."""
    if config.sharded and config.devices == 1:
        yield PreflightWarning(
            "sharded",
            "sharded needs several devices, and devices is 1.",
            "Raise devices, or switch it off.",
            blocks=True,
        )
