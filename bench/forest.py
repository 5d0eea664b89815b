"""A forest plot as SVG: a named row for each thing measured, and beside it its figures with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.plot import COLOURS

WIDTH, LEFT, RIGHT, TOP, ROW = 720, 240, 24, 56, 34


@dataclass(frozen=True)
class Interval:
    """A figure and where it may lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Forest:
    """What is drawn.

    Attributes:
        title: above it.
        names: of the intervals of a row, in the order of their colours.
        ticks: from the lowest to the highest value shown.
        level: a dashed line is drawn here.
        rows: name and intervals of each.
    """

    title: str
    names: Sequence[str]
    ticks: Sequence[float]
    level: float
    rows: Sequence[tuple[str, Sequence[Interval]]]

    @property
    def floor(self) -> float:
        """Where the rows end, in pixels."""
        return TOP + ROW * len(self.rows)

    def svg(self) -> str:
        """The file; equal figures give equal bytes."""
        height = self.floor + 32
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="sans-serif" font-size="13" fill="#222222" role="img">',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="16" y="24" font-weight="bold">{escape(self.title)}</text>',
            *self._legend(),
            *self._axis(),
        ]
        for number, (name, intervals) in enumerate(self.rows):
            middle = TOP + ROW * (number + 0.5)
            parts.append(_text(LEFT - 12, middle + 4, name, "end"))
            parts += self._row(middle, intervals)
        return "\n".join([*parts, "</svg>", ""])

    def _legend(self) -> Iterator[str]:
        for number, (name, colour) in enumerate(zip(self.names, COLOURS, strict=False)):
            at = LEFT + 140 * number
            yield f'<circle cx="{at + 4}" cy="40" r="4" fill="{colour}"/>'
            yield _text(at + 14, 44, name, "start")

    def _axis(self) -> Iterator[str]:
        for value in self.ticks:
            yield self._rule(value, 'stroke="#dddddd"')
            yield _text(self._across(value), self.floor + 20, f"{value:g}", "middle")
        yield self._rule(self.level, 'stroke="#222222" stroke-dasharray="6 4"')

    def _rule(self, value: float, stroke: str) -> str:
        at = f"{self._across(value):.1f}"
        return f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{self.floor}" {stroke}/>'

    def _row(self, middle: float, intervals: Sequence[Interval]) -> Iterator[str]:
        for number, (one, colour) in enumerate(zip(intervals, COLOURS, strict=False)):
            y = f"{middle + 10 * (number - (len(intervals) - 1) / 2):.1f}"
            ends = f'x1="{self._across(one.low):.1f}" x2="{self._across(one.high):.1f}"'
            yield f'<line {ends} y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            yield f'<circle cx="{self._across(one.value):.1f}" cy="{y}" r="4" fill="{colour}"/>'

    def _across(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return LEFT + (value - low) / (high - low) * (WIDTH - RIGHT - LEFT)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
