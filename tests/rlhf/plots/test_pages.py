"""Figures drawn as SVG: places follow from the numbers."""

from __future__ import annotations

import re

import pytest

from rlhf.plots.pages import HEIGHT, WIDTH, bars, parts, plot, span


def numbers(svg: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf' {name}="([^"]+)"', svg)]


def test_lines_share_one_scale():
    drawn = plot("drift", {"low": [(1, 0.0), (3, 1.0)], "high": [(1, 3.0)], "none": []}, level=-1.0)
    assert drawn.last == {"low": 1.0, "high": 3.0}
    assert (drawn.low, drawn.high, drawn.steps) == (-1, 3, 2)
    assert numbers(drawn.svg, "y1") == [HEIGHT]
    low = f"M0.0,{HEIGHT * 3 / 4:.1f} L320.0,{HEIGHT / 2:.1f}"
    assert re.findall(' d="([^"]+)"', drawn.svg) == [low, "M0.0,0.0"]
    assert not plot("drift", {"none": []}).svg


def test_a_span_lies_on_its_scale_and_ends_with_it():
    drawn = span(0.4, -0.5, 0.7, level=0.0, scale=(-0.2, 1))
    assert numbers(drawn, "x1") == [16.7, 0.0, 50.0] and numbers(drawn, "x2") == [16.7, 75.0, 50.0]
    assert not span(None, None, None)


def test_what_a_figure_says_is_escaped():
    assert "<b>" not in span(0.5, None, None, title="<b>") + parts("<b>", {"<b>": 1}).svg


def test_bars_are_as_high_as_their_counts():
    drawn = bars("Identity", "votes a day", [("Mon", 0), ("Tue", 5), ("Wed", 10)])
    assert (drawn.most, drawn.total) == (10, 15)
    heights, tops = numbers(drawn.svg, "height"), numbers(drawn.svg, "y")
    assert heights == [0, HEIGHT / 2, HEIGHT]
    assert [top + height for top, height in zip(tops, heights, strict=True)] == [HEIGHT] * 3
    assert numbers(drawn.svg, "x")[-1] + numbers(drawn.svg, "width")[-1] <= WIDTH
    assert bars("Identity", "votes a day", []).most == 0


def test_parts_fill_the_whole_in_their_order():
    drawn = parts("Answers", {"left": 1, "right": 2, "tie": 0, "unsure": 1})
    assert list(drawn.shares.values()) == [25, 50, 0, 25]
    assert numbers(drawn.svg, "x") == [0, 25, 75, 75] and numbers(drawn.svg, "width") == [25, 50, 0, 25]
    assert sum(parts("all", {"a": 1, "b": 2, "c": 4}).shares.values()) == pytest.approx(100)
    assert parts("none", {"a": 0}).shares == {"a": 0}
