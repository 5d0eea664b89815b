"""What metrics of identity saw frame by frame and reference by reference, from the files of scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from generator.rundir import RunDir
from rlhf.evaluation.report.tables import Result, SystemRow
from rlhf.plots import reports

#: Stretches of a clip over which frame curves of all videos are averaged.
STRETCHES = 10


@dataclass(frozen=True)
class Faces:
    """What one system's frames show of identity, by one metric."""

    system: SystemRow  # whose
    frames: int  # that were examined
    with_face: int  # those of them with a similarity
    videos: int  # that were looked at
    above: int  # videos more like the references than real references are like each other
    #: Mean similarity of real references to each other, in [0, 1]; None with one reference.
    ceiling: float | None
    line: Sequence[reports.Point]  # (percent of the clip, mean similarity times 100)


@dataclass(frozen=True)
class FrameFigure:
    """Identity over the frames by one metric."""

    metric: str
    plot: Markup
    systems: Sequence[Faces]


@dataclass(frozen=True)
class CaseSimilarity:
    """What one metric saw of the videos of one instance and seed."""

    metric: str  # its name
    plot: Markup  # similarity to all references, frame by frame
    references: Sequence[str]  # their paths in the request
    #: Each system's similarity to each of them, in [0, 1]; None where there is none.
    rows: Sequence[tuple[SystemRow, Sequence[float | None]]]


def _frame_details(run: RunDir, video: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Details of each metric that followed identity over the frames, by the sha256 of its facts."""
    path = run.resolve(video["details"]) if video.get("details") else None
    if path is None or not path.is_file():
        return {}
    metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    return {sha: said["details"] for sha, said in metrics.items() if said["details"].get("per_frame")}


def _metric_names(result: Result) -> dict[str, str]:
    """What people call a metric of identity: its first column."""
    labels = {column["name"]: column["label"] for column in result.get("columns") or []}
    metrics = result.get("metrics") or []
    return {facts["sha256"]: labels.get(facts["columns"][0], facts["metric"]) for facts in metrics}


def case_similarities(
    run: RunDir, result: Result, systems: Sequence[SystemRow], videos: Mapping[str, Mapping[str, Any]]
) -> list[CaseSimilarity]:
    """What each metric of identity saw of the videos of one instance and seed, which are given by system."""
    details = {name: _frame_details(run, video) for name, video in videos.items()}
    similarities = []
    for sha, metric in _metric_names(result).items():
        seen = [
            (system, details[system.name][sha]) for system in systems if sha in details.get(system.name, {})
        ]
        if not seen:
            continue
        first = seen[0][1]
        title = f"Similarity to the references, frame by frame, by {metric}"
        lines = [(system.colour, _line(scores)) for system, scores in seen]
        plot = reports.curves(title, lines, level=_points(first.get("ceiling")))
        references = list(first.get("per_reference") or {})
        rows = [
            (system, [scores["per_reference"].get(path) for path in references])
            for system, scores in seen
            if references
        ]
        similarities.append(CaseSimilarity(metric, plot, references, rows))
    return similarities


def _line(details: Mapping[str, Any]) -> list[reports.Point]:
    values = map(_points, details["per_frame"])
    return list(zip(details["frames"], values, strict=True))


def frame_figures(run: RunDir, result: Result, systems: Sequence[SystemRow]) -> list[FrameFigure]:
    """Identity over the frames of all videos, one figure a metric that follows it."""
    by_metric: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for video in result.get("videos") or []:
        for sha, details in _frame_details(run, video).items():
            by_metric.setdefault(sha, {}).setdefault(video["system"], []).append(details)
    figures = []
    for sha, name in _metric_names(result).items():
        if sha in by_metric:
            mine = [_faces(system, by_metric[sha].get(system.name, [])) for system in systems]
            lines = [(faces.system.colour, faces.line) for faces in mine]
            title = f"Mean similarity to the references over the clip, by {name}"
            figures.append(FrameFigure(name, reports.curves(title, lines, end=100), mine))
    return figures


def _faces(system: SystemRow, details: Sequence[Mapping[str, Any]]) -> Faces:
    stretches: dict[int, list[float | None]] = {}
    for clip in details:
        last = max(clip["frames"]) or 1
        for frame, value in zip(clip["frames"], clip["per_frame"], strict=True):
            stretches.setdefault(min(frame * STRETCHES // last, STRETCHES - 1), []).append(value)
    seen = [value for values in stretches.values() for value in values]
    ceilings = [clip["ceiling"] for clip in details if clip.get("ceiling") is not None]
    return Faces(
        system,
        len(seen),
        sum(value is not None for value in seen),
        len(details),
        sum(bool(clip.get("copy_paste")) for clip in details),
        sum(ceilings) / len(ceilings) if ceilings else None,
        [((number + 0.5) * 100 / STRETCHES, _mean(values)) for number, values in sorted(stretches.items())],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return 100 * sum(there) / len(there) if there else None


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value
