"""Figures of reports and their pages.

What a figure shows is also its `<title>`, for those who listen. Colours are the page's: lines and dots of
colour k have the class `system-k`. Values are points of 100 unless said otherwise, sizes pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from rlhf.plots.marks import Scale, dot, drawing, line, path, runs, scale_of, text, written

#: A value of a line that may have gaps, at its place across.
Point = tuple[float, float | None]
#: A system's colour and its values.
Values = tuple[int, Sequence[float | None]]
#: Points that the axis of a mean covers at least; on a narrower one hundredths would look like a difference.
SPAN = 4.0
#: Systems that have a colour of their own.
COLOURS = 8


def interval(title: str, gain: float | None, low: float | None, high: float | None, scale: Scale) -> Markup:
    """One row of a forest plot: a dot with its interval, and the line of no difference."""
    width, height = 240, 28
    middle = height / 2

    def across(value: float) -> float:
        return scale.place(value, 8, width - 8)

    parts = [line("level", across(0), 0, across(0), height)]
    if low is not None and high is not None:
        parts.append(line("whisker", across(low), middle, across(high), middle))
    if gain is not None:
        parts.append(dot("point", across(gain), middle, 4))
    return drawing("forest", title, width, height, parts)


def axis(scale: Scale) -> Markup:
    """The ticks above the rows of a forest plot."""
    width, height = 240, 24
    parts = []
    for tick in scale.ticks:
        at = scale.place(tick, 8, width - 8)
        parts += [text("tick middle", at, 12, written(tick)), line("axis", at, 18, at, height)]
    return drawing("forest", f"Axis from {written(scale.low)} to {written(scale.high)}", width, height, parts)


def radar(title: str, labels: Sequence[str], systems: Sequence[Values]) -> Markup:
    """Every system as a polygon over the columns, each axis on a scale of its own, named beside its label.

    Args:
        title: what it shows.
        labels: of three axes or more.
        systems: colour and values of each, one an axis; a system with a gap is drawn open there.
    """
    width, height, radius = 640, 440, 150.0
    spokes = [_direction(number, len(labels)) for number in range(len(labels))]
    scales = [
        scale_of(
            [value for _, system in systems if (value := system[number]) is not None], ticks=2, span=SPAN
        )
        for number in range(len(labels))
    ]

    def at(number: int, share: float) -> tuple[float, float]:
        x, y = spokes[number]
        return width / 2 + x * radius * share, height / 2 + y * radius * share

    rings = [
        path("ring", [at(number, share) for number in range(len(labels))], closed=True)
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    parts = [*rings, *(line("axis", *at(n, 0), *at(n, 1)) for n in range(len(labels)))]
    for number, (label, scale) in enumerate(zip(labels, scales, strict=True)):
        x, y = at(number, 1.12)
        side = "middle" if abs(spokes[number][0]) < 0.2 else "start" if spokes[number][0] > 0 else "end"
        ends = f"{written(scale.low)} to {written(scale.high)}"
        parts += [text(f"label {side}", x, y, label), text(f"tick {side}", x, y + 14, ends)]
    for colour, system in systems:
        corners = [
            None if value is None else at(number, scales[number].place(value, 0, 1))
            for number, value in enumerate(system)
        ]
        parts += [path(f"line system-{colour}", run) for run in runs([*corners, corners[0]])]
        parts += [dot(f"mark system-{colour}", *corner, 3) for corner in corners if corner]
    return drawing("radar", title, width, height, parts)


def dots(title: str, labels: Sequence[str], systems: Sequence[Values]) -> Markup:
    """One line a person, one dot a system.

    Args:
        title: what it shows.
        labels: of the lines.
        systems: colour and values of each, one per line.
    """
    left, width, step, top = 160, 960, 20, 28
    height = top + step * len(labels) + 8
    scale = scale_of(
        [value for _, system in systems for value in system if value is not None], ticks=6, span=SPAN
    )
    parts = []
    for tick in scale.ticks:
        x = scale.place(tick, left, width - 16)
        parts += [text("tick middle", x, 14, written(tick)), line("ring", x, 20, x, height)]
    for row, label in enumerate(labels):
        y = top + step * row + step / 2
        values = [value for _, system in systems if (value := system[row]) is not None]
        ends = [scale.place(end, left, width - 16) for end in (min(values), max(values))] if values else []
        parts.append(text("label end", left - 12, y + 4, label if len(label) < 22 else f"{label[:20]}…"))
        parts += [line("axis", ends[0], y, ends[1], y)] if ends else []
        parts += [
            dot(f"mark system-{colour}", scale.place(value, left, width - 16), y, 5)
            for colour, system in systems
            if (value := system[row]) is not None
        ]
    return drawing("dots", title, width, height, parts)


def curves(
    title: str, systems: Sequence[tuple[int, Sequence[Point]]], *, level: float | None = None, end: float = 0
) -> Markup:
    """Lines over the frames, one per system, with gaps where there is no value.

    Args:
        title: what it shows.
        systems: colour of each, and its (frame, value).
        level: a value that means something, drawn across.
        end: how far the axis goes at least.
    """
    width, height, left, foot = 480, 176, 40, 24
    points = [point for _, system in systems for point in system]
    values = [value for _, value in points if value is not None]
    up = scale_of([*values, *([level] if level is not None else [])], span=SPAN)
    last = max((frame for frame, _ in points), default=0)
    last = max(last, end) or 1

    def at(frame: float, value: float) -> tuple[float, float]:
        return left + frame / last * (width - left - 8), up.place(value, height - foot, 8)

    parts = []
    for tick in up.ticks:
        _, y = at(0, tick)
        parts += [line("ring", left, y, width - 8, y), text("tick end", left - 8, y + 4, written(tick))]
    for frame in sorted({0, int(last)}):
        x, _ = at(frame, up.low)
        parts.append(text("tick middle", x, height - 6, str(frame)))
    if level is not None:
        parts.append(line("level", *at(0, level), *at(last, level)))
    for colour, system in systems:
        places = [None if value is None else at(frame, value) for frame, value in system]
        parts += [path(f"line system-{colour}", run) for run in runs(places)]
        parts += [dot(f"mark system-{colour}", *point, 2.5) for point in places if point]
    return drawing("curves", title, width, height, parts)


def swatch(colour: int) -> Markup:
    """The mark of a system, for a legend."""
    return Markup('<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">{}{}</svg>').format(
        line(f"line system-{colour}", 0, 6, 28, 6), dot(f"mark system-{colour}", 14, 6, 4)
    )


def _direction(number: int, total: int) -> tuple[float, float]:
    """Of a spoke, clockwise from the top."""
    angle = 2 * math.pi * number / total
    return math.sin(angle), -math.cos(angle)
