"""The metrics of a run, and what they say of each of its videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from generator.rundir import RunDir
from rlhf.evaluation import table
from rlhf.evaluation.columns import COLUMNS, Column, columns_of
from rlhf.evaluation.metrics.registry import make_metrics
from rlhf.evaluation.records import Metric
from rlhf.evaluation.request import EvaluationRequest
from rlhf.evaluation.score_files import score_video
from rlhf.evaluation.table import ScoredVideo
from rlhf.evaluation.videos import Wanted


class Measures:
    """The metrics of a run.

    Attributes:
        ready: metrics and their facts, by name.
        absent: by column, why nothing fills it.
        columns: of the table.
        trust: what the oracle says of itself; empty where it is not used.
    """

    def __init__(self, ready: Mapping[str, Metric], absent: Mapping[str, str]) -> None:
        """Take what `make_metrics` gave; raises as `one_metric_a_column`."""
        self.ready = {name: (metric, metric.facts) for name, metric in ready.items()}
        filled = table.one_metric_a_column(facts for _, facts in self.ready.values())
        self.absent = {
            column.name: f"{name} cannot be used: {why}"
            for name, why in absent.items()
            for column in columns_of(name)
            if column.name not in filled
        }
        known = [column for column in COLUMNS if column.name in filled or column.name in self.absent]
        named = {column.name for column in COLUMNS}
        self.columns = [
            *(replace(c, metric=filled[c.name].metric) if c.name in filled else c for c in known),
            *(Column(name, name, facts.metric) for name, facts in filled.items() if name not in named),
        ]
        self.trust: Mapping[str, Any] = getattr(ready.get("oracle"), "trust", {})

    @classmethod
    def of(cls, request: EvaluationRequest) -> Measures:
        """Load what the request asks for."""
        return cls(
            *make_metrics(
                request.metrics,
                request.models_folder,
                allow_non_commercial=request.allow_non_commercial,
                settings=request.metric_settings,
            )
        )


def score(run: RunDir, video: Wanted, asked_sha256: str, measures: Measures) -> ScoredVideo:
    """What all metrics say of one video, or why they say nothing."""
    values: dict[str, float] = {}
    holes = dict(measures.absent)
    if video.path is None:
        holes |= dict.fromkeys((column.name for column in measures.columns), video.why)
    else:
        for said in score_video(run, video, asked_sha256, measures.ready).values():
            values |= said["values"]
            holes |= said["holes"]
    identity = video.instance.identity or video.instance.instance_id
    return ScoredVideo(video.system.name, video.instance.instance_id, identity, video.seed, values, holes)
