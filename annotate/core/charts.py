"""Figures as points of an SVG: no script, no chart library, prints as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 120


@dataclass(frozen=True)
class Curve:
    """One line in a box of WIDTH x HEIGHT; `low` and `high` are the values at its bottom and top."""

    title: str
    path: str
    low: float
    high: float
    last: float | None
    steps: int
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Plot:
    """Several lines on one scale; `level` is where a value that means something lies, from the top."""

    title: str
    curves: list[Curve]
    low: float
    high: float
    level: float | None
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def steps(self) -> int:
        return max((curve.steps for curve in self.curves), default=0)


def curve(title: str, points: Sequence[tuple[float, float]]) -> Curve:
    steps, values = [step for step, _ in points], [value for _, value in points]
    return _scaled(title, points, _ends(steps), _ends(values))


def plot(
    title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, level: float | None = None
) -> Plot:
    """`level` is always on the scale; lines without a point are left out."""
    drawn = {name: points for name, points in lines.items() if points}
    points = [point for line in drawn.values() for point in line]
    across = _ends([step for step, _ in points])
    up = _ends([value for _, value in points] + ([level] if level is not None and points else []))
    curves = [_scaled(name, line, across, up) for name, line in drawn.items()]
    return Plot(title, curves, *up, None if level is None else _height(level, up))


def _scaled(
    title: str,
    points: Sequence[tuple[float, float]],
    across: tuple[float, float],
    up: tuple[float, float],
) -> Curve:
    if not points:
        return Curve(title, "", 0, 0, None, 0)
    span = (across[1] - across[0]) or 1
    places = (f"{(step - across[0]) / span * WIDTH:.1f},{_height(value, up):.1f}" for step, value in points)
    return Curve(title, "M" + " L".join(places), *up, points[-1][1], len(points))


def _height(value: float, up: tuple[float, float]) -> float:
    low, high = up
    return HEIGHT - (value - low) / ((high - low) or 1) * HEIGHT


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0, 0)


@dataclass(frozen=True)
class Span:
    """A figure with its interval on a fixed scale, in percent of the width; None where there is none."""

    value: float | None
    low: float | None
    high: float | None
    level: float | None


@dataclass(frozen=True)
class Bar:
    label: str
    count: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bars:
    """Counts as bars in a box of WIDTH x HEIGHT; `most` is the count at its top."""

    title: str
    bars: list[Bar]
    most: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def total(self) -> int:
        return sum(bar.count for bar in self.bars)


@dataclass(frozen=True)
class Part:
    """One part of a whole that is 100 wide."""

    label: str
    count: int
    x: float
    width: float


def span(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    level: float | None,
    scale: tuple[float, float] = (0, 1),
) -> Span:
    """What lies beyond the scale is drawn at its end; `level` is what chance alone would give."""
    start, end = scale

    def place(at: float | None) -> float | None:
        return None if at is None else round(100 * (min(max(at, start), end) - start) / (end - start), 1)

    return Span(place(value), place(low), place(high), place(level))


def bars(title: str, counts: Sequence[tuple[str, int]]) -> Bars:
    most = max((count for _, count in counts), default=0)
    step = WIDTH / (len(counts) or 1)
    drawn = [
        Bar(label, count, round(number * step, 1), round(HEIGHT - height, 1), round(step * 0.8, 1), height)
        for number, (label, count) in enumerate(counts)
        for height in [round(HEIGHT * count / (most or 1), 1)]
    ]
    return Bars(title, drawn, most)


def parts(counts: Mapping[str, int]) -> list[Part]:
    """Side by side, in the order given."""
    total, x, found = sum(counts.values()), 0.0, []
    for label, count in counts.items():
        width = 100 * count / total if total else 0.0
        found.append(Part(label, count, round(x, 2), round(width, 2)))
        x += width
    return found
