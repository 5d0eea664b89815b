"""Scores of videos become a table: means and differences with intervals, and what they say of the paper's.

Nothing here looks at a video. A hole is counted and never becomes a zero, and a difference is formed only
from videos that both sides have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.evaluation.columns import PAPER_ABLATIONS, PAPER_FULL, Column
from rlhf.evaluation.paired import Groups, compare, mean_with_interval
from rlhf.evaluation.records import NOT_ASKED, MetricFacts

#: Points of 100 below which the paper's own difference is none.
SAME = 0.1
#: Points within which a whole interval must lie to be no difference: a wide one shows nothing.
NEAR = 1.0
#: Decimals that are kept of a figure.
DECIMALS = 6


@dataclass(frozen=True)
class ScoredVideo:
    """What all metrics say of one video, or why they say nothing."""

    system: str  # whose video it is
    instance_id: str  # what was asked for
    identity: str  # whose instance it is
    seed: int  # of the video
    values: Mapping[str, float] = field(default_factory=dict)  # by column
    holes: Mapping[str, str] = field(default_factory=dict)  # by column, why there is no value


def summary(videos: Iterable[ScoredVideo], columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """Mean, interval and holes of every column, by system.

    Returns:
        `{system: {column: {"mean", "low", "high", "n", "num_identities", "holes", "not_asked"}}}`; the first
        three are None without a value, the interval also where one person has all of them.
    """
    systems: dict[str, list[ScoredVideo]] = {}
    for video in videos:
        systems.setdefault(video.system, []).append(video)
    return {
        system: {column.name: _cell(mine, column.name) for column in columns}
        for system, mine in systems.items()
    }


def _cell(videos: Sequence[ScoredVideo], column: str) -> dict[str, Any]:
    groups = _by_identity(
        (video.identity, video.values[column]) for video in videos if column in video.values
    )
    whys = [video.holes[column] for video in videos if column in video.holes]
    not_asked = sum(why.startswith(NOT_ASKED) for why in whys)
    mean, low, high = mean_with_interval(groups) if groups else (None, None, None)
    if len(groups) < 2:
        low = high = None
    return {
        **_rounded({"mean": mean, "low": low, "high": high}),
        "n": sum(map(len, groups)),
        "num_identities": len(groups),
        "holes": len(whys) - not_asked,
        "not_asked": not_asked,
    }


def differences(
    videos: Sequence[ScoredVideo], columns: Sequence[Column], reference: str
) -> dict[str, dict[str, Any]]:
    """How much the reference system gains on every other system, on the instances and seeds that both have.

    Returns:
        `{system: {column: {"gain", "gain_low", "gain_high", "win_rate", "low", "high", "n",
        "num_identities"}}}`; figures are None without a pair, intervals also where one person has all.
    """
    systems = [system for system in dict.fromkeys(video.system for video in videos) if system != reference]
    return {
        system: {
            column.name: _difference(paired(videos, column.name, system, reference)) for column in columns
        }
        for system in systems
    }


def paired(
    videos: Sequence[ScoredVideo], column: str, baseline: str, candidate: str
) -> tuple[list[list[float]], list[list[float]]]:
    """One column's values of two systems, of the instances and seeds that both have, grouped by person."""
    values = {
        system: {
            (v.identity, v.instance_id, v.seed): v.values[column]
            for v in videos
            if v.system == system and column in v.values
        }
        for system in (baseline, candidate)
    }
    both = [key for key in values[baseline] if key in values[candidate]]
    before, after = (
        _by_identity((key[0], values[system][key]) for key in both) for system in (baseline, candidate)
    )
    return before, after


def _difference(pairs: tuple[Groups, Groups]) -> dict[str, Any]:
    names = ("gain", "gain_low", "gain_high", "win_rate", "low", "high")
    before, after = pairs
    if not before:
        return {**dict.fromkeys(names), "n": 0, "num_identities": 0}
    comparison = compare(before, after)
    is_sure = comparison.num_identities > 1
    figures = {name: getattr(comparison, name) for name in names if is_sure or name in ("gain", "win_rate")}
    return {
        **dict.fromkeys(names),
        **_rounded(figures),
        "n": comparison.n,
        "num_identities": comparison.num_identities,
    }


def directions(
    gained: Mapping[str, Mapping[str, Any]], ablations: Mapping[str, str], columns: Sequence[Column]
) -> list[dict[str, Any]]:
    """Whether what an ablation loses is what the paper's loses, cell by cell.

    Args:
        gained: of `differences`, taken against the full model.
        ablations: the paper's name of each system that is one.
        columns: those with a column of the paper's ablation table count.

    Returns:
        For each system and column the paper's two figures, the gain of the full model over the ablated one,
        and `holds`, see `verdict`.
    """
    return [
        _direction(system, ablation, column.name, column.paper, gained[system][column.name])
        for system, ablation in ablations.items()
        if system in gained
        for column in columns
        if column.paper is not None and column.paper in PAPER_FULL
    ]


def _direction(
    system: str, ablation: str, column: str, paper: str, measured: Mapping[str, float | None]
) -> dict[str, Any]:
    full, ablated = PAPER_FULL[paper], PAPER_ABLATIONS[ablation][paper]
    return {
        "ablation": ablation,
        "system": system,
        "column": column,
        "paper_column": paper,
        "paper_full": full,
        "paper_ablated": ablated,
        **{name: measured[name] for name in ("gain", "gain_low", "gain_high")},
        "holds": verdict(full - ablated, measured["gain"], measured["gain_low"], measured["gain_high"]),
    }


def verdict(paper_gain: float, gain: float | None, low: float | None, high: float | None) -> str:
    """Whether a measured gain points where the paper's does.

    Args:
        paper_gain: points of 100 that the paper's full model has more.
        gain: measured, in [-1, 1]; None where nothing could be.
        low: lower end of its interval; None where there is none.
        high: upper end.

    Returns:
        `yes` or `no` by the side of 0 on which the interval lies, `undecided` where it holds 0. Where the
        paper's own gain is below 0.1 points it is none: then `same` where the whole interval lies within a
        point of 0, and `no` where it lies beside 0 otherwise.
    """
    if gain is None or low is None or high is None:
        return "undecided"
    is_none = abs(paper_gain) < SAME
    if is_none and 100 * max(abs(low), abs(high)) <= NEAR:
        return "same"
    if low <= 0 <= high:
        return "undecided"
    if is_none:
        return "no"
    return "yes" if (low > 0) == (paper_gain > 0) else "no"


def one_metric_a_column(metrics: Iterable[MetricFacts]) -> dict[str, MetricFacts]:
    """The facts behind each column.

    Raises:
        ValueError: two metrics fill one column; figures that rest on different things share no column.
    """
    filled: dict[str, MetricFacts] = {}
    for facts in metrics:
        for column in facts.columns:
            if column in filled and filled[column].sha256 != facts.sha256:
                raise ValueError(
                    f"column {column} is filled by {filled[column].metric} and by {facts.metric}, which rest "
                    "on different things; ask for one of them"
                )
            filled[column] = facts
    return filled


def _by_identity(values: Iterable[tuple[str, float]]) -> list[list[float]]:
    ordered = sorted(values, key=lambda pair: pair[0])
    return [
        [value for _, value in group] for _, group in itertools.groupby(ordered, key=lambda pair: pair[0])
    ]


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, DECIMALS) for name, value in figures.items()}
