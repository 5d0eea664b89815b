"""Plots of the benchmarks as SVG; equal figures give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Told apart also without colour vision (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
#: Text stays text, and identifiers do not come by chance.
STYLE = {"svg.hashsalt": "bench", "svg.fonttype": "none"}


@dataclass(frozen=True)
class Line:
    """Points from left to right; `is_dashed` for what is compared with."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    is_dashed: bool = False


@dataclass(frozen=True)
class Interval:
    """A figure and where it may lie."""

    value: float
    low: float
    high: float


def chart(title: str, labels: tuple[str, str], lines: Sequence[Line]) -> str:
    """Lines in one box, named beside it."""
    figure = _figure(4.5)
    axes = figure.subplots()
    for line in lines:
        style = "--" if line.is_dashed else "-"
        axes.plot(*zip(*line.points, strict=True), style, color=line.colour, label=line.name, gid=line.name)
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    axes.grid(color="#dddddd")
    figure.legend(loc="outside right upper", frameon=False)
    return _svg(figure)


def forest(
    title: str, names: Sequence[str], level: float, rows: Sequence[tuple[str, Sequence[Interval]]]
) -> str:
    """A named row for each thing measured, with an interval in each colour; `level` is a dashed line."""
    figure = _figure(1.2 + 0.4 * len(rows))
    axes = figure.subplots()
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        drawn = [intervals[number] for _, intervals in rows]
        places = [row + 0.25 * (number - (len(names) - 1) / 2) for row in range(len(rows))]
        values = [one.value for one in drawn]
        around = [[one.value - one.low for one in drawn], [one.high - one.value for one in drawn]]
        axes.errorbar(values, places, xerr=around, fmt="o", color=colour, label=name)
    axes.axvline(level, color="#222222", linestyle="--")
    axes.set(title=title, yticks=range(len(rows)), yticklabels=[name for name, _ in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd")
    figure.legend(loc="outside right upper", frameon=False)
    return _svg(figure)


def _figure(height: float) -> Figure:
    """Eight inches wide."""
    # Here, since it takes a second in every process that imports a benchmark and draws nothing.
    from matplotlib.figure import Figure

    return Figure(figsize=(8, height), layout="constrained")


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
