"""One file per video keeps what was said of it, so that a run that was killed looks at nothing twice.

    scores/<system>/<instance_id>-<seed>.json
        {"video_sha256", "instance_sha256", "metrics": {sha256 of the facts: {"values", "holes", "details"}}}

What is there is believed while video, instance and the metric's facts are the same. What failed is tried
again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator.files import file_sha256, replacing
from generator.rundir import RunDir
from rlhf.evaluation.records import NOT_ASKED, Metric, MetricFacts
from rlhf.evaluation.request import score_path
from rlhf.evaluation.videos import Wanted


def score_file(run: RunDir, video: Wanted) -> Path:
    """Where the scores of a video are kept."""
    return run.path / score_path(video.system.name, video.name)


def score_video(
    run: RunDir, video: Wanted, instance_sha256: str, metrics: Mapping[str, tuple[Metric, MetricFacts]]
) -> dict[str, dict[str, Any]]:
    """What each metric says of a video that is there, by the sha256 of its facts.

    Args:
        run: the folder.
        video: with a path.
        instance_sha256: of what was asked for, see `rlhf.evaluation.request.instance_sha256`.
        metrics: by name.

    Returns:
        `{facts: {"values", "holes", "details"}}`; a metric that fails leaves a hole in each of its columns.
    """
    assert video.path is not None, "a video that is not there has no score"
    target = score_file(run, video)
    key = {"video_sha256": file_sha256(video.path), "instance_sha256": instance_sha256}
    known = _read(target, key)
    scores = {
        facts.sha256: known.get(facts.sha256) or _score(run, video, video.path, metric, facts)
        for metric, facts in metrics.values()
    }
    if scores != known or not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            text = json.dumps({**key, "metrics": scores}, sort_keys=True, indent=1, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")
    return scores


def _read(path: Path, key: Mapping[str, str]) -> dict[str, Any]:
    """What an earlier run said without a failure, where it saw the same."""
    if not path.is_file():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    if any(kept[name] != value for name, value in key.items()):
        return {}
    return {
        facts: said
        for facts, said in kept["metrics"].items()
        if all(why.startswith(NOT_ASKED) for why in said["holes"].values())
    }


def _score(run: RunDir, video: Wanted, path: Path, metric: Metric, facts: MetricFacts) -> dict[str, Any]:
    try:
        said = metric.score(path, video.instance, run.resolve)
    except (ValueError, OSError) as error:
        why = " ".join(str(error).split())
        return {"values": {}, "holes": dict.fromkeys(facts.columns, why), "details": {}}
    values = {column: value for column, value in said.values.items() if math.isfinite(value)}
    unsaid = {
        column: f"{facts.metric} gave {said.values.get(column, 'nothing')}"
        for column in facts.columns
        if column not in values and column not in said.holes
    }
    return {"values": values, "holes": {**said.holes, **unsaid}, "details": dict(said.details)}
