"""A line chart as SVG, written by hand: no chart library, and equal bytes for equal figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 200, 40, 56
#: Told apart also without colour vision (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

Range = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Points from left to right; `is_dashed` for what is compared with."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    is_dashed: bool = False


def chart(
    title: str, labels: tuple[str, str], x: Sequence[float], y: Sequence[float], lines: Sequence[Line]
) -> str:
    """An SVG file; `x` and `y` are the ticks, from the lowest to the highest value shown."""
    across, up = (x[0], x[-1]), (y[0], y[-1])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, "start", 'font-weight="bold"'),
        *_grid(labels, x, y),
    ]
    for place, line in enumerate(lines):
        dashes = ' stroke-dasharray="6 4"' if line.is_dashed else ""
        path = " ".join(f"{_x(a, across):.1f},{_y(b, up):.1f}" for a, b in line.points)
        stroke = f'stroke="{line.colour}" stroke-width="2"{dashes}'
        at = TOP + 16 + 24 * place
        begin = WIDTH - RIGHT + 16
        parts += [
            f'<polyline points="{path}" fill="none" {stroke}/>',
            f'<line x1="{begin}" x2="{begin + 28}" y1="{at - 4}" y2="{at - 4}" {stroke}/>',
            _text(begin + 36, at, line.name, "start"),
        ]
    return "\n".join([*parts, "</svg>", ""])


def _grid(labels: tuple[str, str], x: Sequence[float], y: Sequence[float]) -> list[str]:
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value in x:
        at = _x(value, (x[0], x[-1]))
        parts += [_rule(at, at, TOP, floor), _text(at, floor + 20, f"{value:g}", "middle")]
    for value in y:
        at = _y(value, (y[0], y[-1]))
        parts += [_rule(LEFT, right, at, at), _text(LEFT - 8, at + 4, f"{value:g}", "end")]
    parts.append(_text((LEFT + right) / 2, HEIGHT - 12, labels[0], "middle"))
    middle = (TOP + floor) / 2
    turn = f'transform="rotate(-90 16 {middle:.1f})"'
    return [*parts, _text(16, middle, labels[1], "middle", turn)]


def _x(value: float, across: Range) -> float:
    return LEFT + (value - across[0]) / (across[1] - across[0]) * (WIDTH - RIGHT - LEFT)


def _y(value: float, up: Range) -> float:
    return HEIGHT - BOTTOM - (value - up[0]) / (up[1] - up[0]) * (HEIGHT - BOTTOM - TOP)


def _rule(x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222222" {more}>{escape(words)}</text>'
    )
