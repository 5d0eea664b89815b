"""Figures of the site's pages: they fill the place that they are given, with the page's own words beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rlhf.plots.marks import drawing, line, path, rect

WIDTH, HEIGHT = 320, 120

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Lines on one scale."""

    title: str  # what it shows
    last: Mapping[str, float]  # the newest value of each line that has one
    low: float  # the value at the bottom
    high: float  # the value at the top
    steps: int  # points of the longest line
    svg: Markup  # the drawing; empty without a point


@dataclass(frozen=True)
class Bars:
    """Counts side by side; `most` is the count at the top."""

    title: str
    labels: Sequence[str]
    total: int
    most: int
    svg: Markup


@dataclass(frozen=True)
class Parts:
    """Shares of a whole side by side, in percent."""

    shares: Mapping[str, float]
    svg: Markup


def plot(title: str, lines: Mapping[str, Points], *, level: float | None = None) -> Plot:
    """Lines on one scale that holds `level` too; those without a point are left out."""
    drawn = {name: points for name, points in lines.items() if points}
    if not drawn:
        return Plot(title, {}, 0, 0, 0, Markup(""))
    every = [point for points in drawn.values() for point in points]
    start, end = min(step for step, _ in every), max(step for step, _ in every)
    values = [value for _, value in every] + ([] if level is None else [level])
    low, high = min(values), max(values)

    def place(step: float, value: float) -> tuple[float, float]:
        up = (value - low) / ((high - low) or 1)
        return (step - start) / ((end - start) or 1) * WIDTH, HEIGHT - up * HEIGHT

    marks = [] if level is None else [line("level", 0, place(0, level)[1], WIDTH, place(0, level)[1])]
    for count, points in enumerate(drawn.values(), 1):
        marks.append(path(f"line-{count}", [place(*point) for point in points]))
    last = {name: points[-1][1] for name, points in drawn.items()}
    told = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name != title)
    label = f"{title}: {told}" if told else f"{title}: from {low:.4g} to {high:.4g}, last {every[-1][1]:.4g}"
    svg = drawing("lines", label, WIDTH, HEIGHT, marks, is_stretched=True)
    return Plot(title, last, low, high, max(map(len, drawn.values())), svg)


def curve(title: str, points: Points) -> Plot:
    """One line."""
    return plot(title, {title: points})


def span(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    level: float | None = None,
    scale: tuple[float, float] = (0, 1),
    title: str = "",
) -> Markup:
    """A figure with its interval on a fixed scale, at whose end lies what is beyond; empty without a value.

    Args:
        value: the figure.
        low: of its interval, None where there is none.
        high: likewise.
        level: what chance alone would give.
        scale: what lies at both ends.
        title: what it shows, where no words beside it say so.
    """
    if value is None:
        return Markup("")
    start, end = scale

    def across(at: float) -> float:
        return 100 * (min(max(at, start), end) - start) / (end - start)

    marks = [] if level is None else [line("level", across(level), 0, across(level), 16)]
    if low is not None and high is not None:
        marks.append(line("interval", across(low), 8, across(high), 8))
    marks.append(line("mean", across(value), 2, across(value), 14))
    return drawing("span", title, 100, 16, marks, is_stretched=True)


def bars(title: str, unit: str, counts: Sequence[tuple[str, int]]) -> Bars:
    """Counts of something in the order given."""
    most = max((count for _, count in counts), default=0)
    step = WIDTH / (len(counts) or 1)
    marks = [
        rect("bar", number * step, HEIGHT - height, step * 0.8, height, f"{label}: {count}")
        for number, (label, count) in enumerate(counts)
        for height in [HEIGHT * count / (most or 1)]
    ]
    told = f"{title} {unit}: " + ", ".join(f"{label} {count}" for label, count in counts if count)
    svg = drawing("counts", told, WIDTH, HEIGHT, marks, is_stretched=True)
    return Bars(title, [label for label, _ in counts], sum(count for _, count in counts), most, svg)


def parts(title: str, counts: Mapping[str, int]) -> Parts:
    """Side by side, in the order given."""
    total, x, marks = sum(counts.values()) or 1, 0.0, []
    shares = {label: 100 * count / total for label, count in counts.items()}
    for number, share in enumerate(shares.values(), 1):
        marks.append(rect(f"part-{number}", x, 0, share, 16))
        x += share
    told = f"{title}: " + ", ".join(f"{label} {count}" for label, count in counts.items())
    return Parts(shares, drawing("parts", told, 100, 16, marks, is_stretched=True))
