"""What an SFT run would learn from, take and risk. Nothing is started, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from annotate.models import ModelVersion
from annotate.supervised.queries import Chosen, finished_trainings
from annotate.training.preview import fleet_warnings, on_device, past_runs
from annotate.training.queries import last_device
from rlhf.dpo.estimate import Estimate, estimate, items_per_step
from rlhf.dpo.form import read_form
from rlhf.dpo.preflight.facts import PreflightWarning
from rlhf.sft.config import SFTConfig
from rlhf.sft.preflight import find_warnings


@dataclass(frozen=True)
class Preview:
    """A run as it would be launched now."""

    config: SFTConfig
    chosen: Chosen
    warnings: list[PreflightWarning]
    estimate: Estimate | None
    has_history: bool

    @property
    def blocks(self) -> bool:
        return any(warning.blocks for warning in self.warnings)

    @property
    def items_per_step(self) -> int:
        return items_per_step(self.config)

    @property
    def fps(self) -> float | None:
        """At which all targets would be learned."""
        return self.config.fps or self.chosen.facts.slowest


def dry_run(policy: ModelVersion, chosen: Chosen, settings: Mapping[str, str]) -> Preview:
    """Look at instances and the settings of a form; what it leaves out has its default.

    Raises:
        ValueError: a setting that cannot be used; the message names it.
    """
    config = read_form(settings, SFTConfig())
    if config.mode != "lora":
        raise ValueError(
            f"mode is {config.mode!r}; the site trains adapters: lora. Start python -m rlhf.sft for the "
            "other, and register its result as a base"
        )
    device, past = last_device(), past_runs(finished_trainings(policy, chosen.facts.largest))
    return Preview(
        config=config,
        chosen=chosen,
        warnings=fleet_warnings(config)
        + find_warnings(
            chosen.facts,
            config,
            why_no_consent=chosen.why_no_consent,
            withheld=chosen.withheld,
            why_withheld=chosen.why_withheld,
            unread=chosen.unread,
            num_unread=chosen.num_unread,
            device=device,
        ),
        estimate=estimate(on_device(config, device), chosen.facts.num_instances, past, device),
        has_history=bool(past),
    )
