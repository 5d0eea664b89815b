"""The settings of a training as a form shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.dpo.form import Setting, settings_of, written
from rlhf.training.config import RunConfig


@dataclass(frozen=True)
class Field:
    """One setting as the form shows it."""

    setting: Setting
    value: str

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
    """What is looked at in most launches, what waits behind a fold, and both; as typed where it was typed."""
    fields = [
        Field(setting, given.get(setting.name, written(getattr(config, setting.name))))
        for setting in settings_of(type(config))
        if setting.name not in without
    ]
    shown = sorted(
        (field for field in fields if field.setting.name in first),
        key=lambda field: first.index(field.setting.name),
    )
    return {"first": shown, "others": [field for field in fields if field not in shown], "fields": fields}
