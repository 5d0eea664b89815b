"""The settings of a training as a form shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotate.jobs import run_workers
from annotate.models import RunWorker
from rlhf.dpo.form import Setting, settings_of, written
from rlhf.training.config import RunConfig


@dataclass(frozen=True)
class Field:
    """One setting as the form shows it."""

    setting: Setting
    value: str
    #: What of the fleet each choice means; empty where the fleet has no say.
    offers: Mapping[str, str] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        if self.setting.kind != "switch":
            return self.setting.choices
        return ("", "off", "on") if self.setting.optional else ("off", "on")

    @property
    def is_changed(self) -> bool:
        return self.value != self.setting.default


def setting_fields(
    config: RunConfig, given: Mapping[str, str], first: Sequence[str], without: Sequence[str] = ()
) -> dict[str, Any]:
    """What is looked at in most launches, what waits behind a fold, both, and which workers there are.

    A setting is as it was typed, where it was.
    """
    workers = list(run_workers.present())
    fields = [
        _field(setting, given.get(setting.name, written(getattr(config, setting.name))), workers)
        for setting in settings_of(type(config))
        if setting.name not in without
    ]
    shown = sorted(
        (one for one in fields if one.setting.name in first), key=lambda one: first.index(one.setting.name)
    )
    others = [one for one in fields if one not in shown]
    return {"first": shown, "others": others, "fields": fields, "workers": workers}


def _field(setting: Setting, value: str, workers: Sequence[RunWorker]) -> Field:
    return Field(setting, value, _offers(value, workers) if setting.name == "devices" else {})


def _offers(value: str, workers: Sequence[RunWorker]) -> dict[str, str]:
    """As many devices as somebody has, and who; and what is asked for, if nobody has them."""
    most = max((worker.devices for worker in workers), default=1)
    offers = {
        str(number): ", ".join(worker.machine for worker in workers if worker.devices >= number)
        for number in range(1, most + 1)
    }
    return offers if value in offers else {**offers, value: "no worker"}
