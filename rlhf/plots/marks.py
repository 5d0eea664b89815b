"""What every figure is drawn with: an axis, and marks as SVG text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Scale:
    """An axis with even ticks."""

    low: float  # where it starts
    high: float  # where it ends, above `low`
    step: float  # between two ticks, the first of which is at `low`

    @property
    def ticks(self) -> list[float]:
        """From `low` to `high`."""
        count = round((self.high - self.low) / self.step)
        return [round(self.low + number * self.step, 9) for number in range(count + 1)]

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value lies between the pixels `start` and `end`; what is beyond lies at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return start + share * (end - start)


def scale_of(values: Iterable[float], *, ticks: int = 4, span: float = 0) -> Scale:
    """The narrowest axis with about so many steps of 1, 2 or 5 times a power of 10 that holds all values.

    Args:
        values: points; none gives an axis from 0 to 100.
        ticks: about so many steps.
        span: points that it covers at least, within 0 to 100, so that nothing is blown up beyond sense.
    """
    shown = list(values) or [0.0, 100.0]
    low, high = min(shown), max(shown)
    if high - low < span:
        low, high = (low + high - span) / 2, (low + high + span) / 2
        shift = max(0.0, -low) - max(0.0, high - 100)
        low, high = low + shift, high + shift
    rough = max(high - low, 1e-6) / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, max(last, first + 1) * step, step)


def runs(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """The stretches between gaps."""
    groups = itertools.groupby(places, key=lambda point: point is not None)
    return [[point for point in group if point] for is_there, group in groups if is_there]


def written(value: float) -> str:
    """As it is read on an axis."""
    return f"{value:.6g}".replace("-", "−")


def drawing(
    kind: str, title: str, width: float, height: float, parts: Sequence[Markup], *, is_stretched: bool = False
) -> Markup:
    """The whole figure; a stretched one fills its place whatever that measures, one without title is mute."""
    named = Markup(' role="img"><title>{}</title>').format(title) if title else Markup(' aria-hidden="true">')
    ratio = Markup(' preserveAspectRatio="none"') if is_stretched else ""
    return Markup('<svg class="{}" viewBox="0 0 {} {}"{}{}{}</svg>').format(
        kind, width, height, ratio, named, Markup("").join(parts)
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line."""
    ends = (f"{value:.1f}" for value in (x1, y1, x2, y2))
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *ends)


def dot(kind: str, x: float, y: float, radius: float) -> Markup:
    """A filled circle."""
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(kind, f"{x:.1f}", f"{y:.1f}", radius)


def text(kind: str, x: float, y: float, words: str) -> Markup:
    """Words at a place; `middle` and `end` in the class say which part of them."""
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, f"{x:.1f}", f"{y:.1f}", words)


def path(kind: str, places: Sequence[tuple[float, float]], *, closed: bool = False) -> Markup:
    """A line through several places."""
    steps = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places) + ("Z" if closed else "")
    return Markup('<path class="{}" d="{}"/>').format(kind, steps)


def rect(kind: str, x: float, y: float, width: float, height: float, title: str = "") -> Markup:
    """A bar; its title is what it says under the pointer."""
    size = (f"{value:.2f}" for value in (x, y, width, height))
    said = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(kind, *size, said)
