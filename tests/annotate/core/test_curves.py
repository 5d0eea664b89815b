"""Figures drawn as SVG: places follow from the numbers."""

from __future__ import annotations

import pytest

from annotate.core.charts import HEIGHT, WIDTH, bars, parts, span


def test_a_span_lies_on_its_scale_and_ends_with_it():
    drawn = span(0.4, -0.5, 0.7, level=0.0, scale=(-0.2, 1))
    assert (drawn.value, drawn.low, drawn.high, drawn.level) == (50.0, 0.0, 75.0, 16.7)
    assert span(None, None, None, level=None).value is None


def test_bars_are_as_high_as_their_counts():
    drawn = bars("Votes", [("Mon", 0), ("Tue", 5), ("Wed", 10)])
    assert (drawn.most, drawn.total) == (10, 15)
    assert [bar.height for bar in drawn.bars] == [0, HEIGHT / 2, HEIGHT]
    assert all(bar.y + bar.height == HEIGHT for bar in drawn.bars)
    assert drawn.bars[-1].x + drawn.bars[-1].width <= WIDTH
    assert bars("Votes", []).most == 0


def test_parts_fill_the_whole_in_their_order():
    drawn = parts({"left": 1, "right": 2, "tie": 0, "unsure": 1})
    assert [(part.x, part.width) for part in drawn] == [(0, 25), (25, 50), (75, 0), (75, 25)]
    assert sum(part.width for part in parts({"a": 1, "b": 2, "c": 4})) == pytest.approx(100, abs=0.02)
    assert [part.width for part in parts({"a": 0})] == [0]
