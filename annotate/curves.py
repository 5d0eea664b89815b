"""A training curve as points of an SVG path: no script, no chart library, prints as it is."""

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
