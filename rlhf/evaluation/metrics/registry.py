"""Metrics by name. Each is imported when a run asks for it, since some load large models."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generator.curation.weights import Weights, find_weights
from rlhf.evaluation.records import Metric


@dataclass(frozen=True)
class MetricOptions:
    """What a metric is made with."""

    #: The folder of weights with its manifest, see `generator.curation.weights`.
    models_folder: Path | None = None
    allow_non_commercial: bool = False  # whether weights that forbid commercial use may be used
    #: Of this metric, from the request's `metric_settings`.
    settings: Mapping[str, Any] = field(default_factory=dict)

    def weights(self, name: str) -> Weights:
        """An entry of the weights manifest, checked; raises as `find_weights`."""
        return find_weights(self.models_folder, name, allow_non_commercial=self.allow_non_commercial)


#: `module:function`; the function takes `MetricOptions` and gives a `Metric`. Where weights or a library are
#: missing, or a setting is wrong, it raises a ValueError, OSError or ImportError.
METRICS: Mapping[str, str] = {
    "holi_arc": "rlhf.evaluation.metrics.face:make_arc",
    "holi_cur": "rlhf.evaluation.metrics.face:make_cur",
    "holi_sface": "rlhf.evaluation.metrics.face:make_sface",
    "elements": "rlhf.evaluation.metrics.elements:make",
    "oracle": "rlhf.evaluation.metrics.oracle:make",
    "quality": "rlhf.evaluation.metrics.quality:make",
    "rubric": "rlhf.evaluation.metrics.rubric:make",
    "vbench": "rlhf.evaluation.metrics.vbench:make",
}
#: Those that look at all videos of a folder at once, so not at a part of a run.
OF_FOLDERS = {"vbench"}


def make_metrics(
    names: Sequence[str],
    models_folder: Path | None = None,
    *,
    allow_non_commercial: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Make the metrics of a run.

    Args:
        names: of `METRICS`.
        models_folder: the folder of weights.
        allow_non_commercial: whether weights that forbid commercial use may be used.
        settings: by metric.

    Returns:
        The metrics by name, and why each of the others cannot be used.

    Raises:
        ValueError: an unknown name.
    """
    if unknown := [name for name in [*names, *(settings or {})] if name not in METRICS]:
        raise ValueError(f"there is no metric {unknown[0]!r}; known: {', '.join(METRICS)}")
    made: dict[str, Metric] = {}
    absent: dict[str, str] = {}
    for name in names:
        module, _, function = METRICS[name].partition(":")
        make = getattr(importlib.import_module(module), function)
        try:
            made[name] = make(
                MetricOptions(models_folder, allow_non_commercial, (settings or {}).get(name, {}))
            )
        except (ValueError, OSError, ImportError) as error:
            absent[name] = " ".join(str(error).split())
    return made, absent
