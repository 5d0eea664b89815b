"""A training curve as points of an SVG path: no script, no chart library, prints as it is."""

from __future__ import annotations

from collections.abc import Sequence
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


def curve(title: str, points: Sequence[tuple[float, float]]) -> Curve:
    if not points:
        return Curve(title, "", 0, 0, None, 0)
    steps, values = [step for step, _ in points], [value for _, value in points]
    low, high = min(values), max(values)
    span_x, span_y = (steps[-1] - steps[0]) or 1, (high - low) or 1
    places = (
        f"{(step - steps[0]) / span_x * WIDTH:.1f},{HEIGHT - (value - low) / span_y * HEIGHT:.1f}"
        for step, value in points
    )
    return Curve(title, "M" + " L".join(places), low, high, values[-1], len(points))
