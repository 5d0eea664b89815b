"""Axes and lines of reports."""

from __future__ import annotations

import pytest

from rlhf.plots.marks import scale_of
from rlhf.plots.reports import SPAN, curves


@pytest.mark.parametrize("values", [[0.0], [3.2, 3.3], [-7.1, 12.9], [61.0, 99.9], [0.0, 1e-4]])
def test_an_axis_holds_its_values_and_has_round_ticks(values):
    scale = scale_of(values)
    assert scale.low <= min(values) + 1e-9 and scale.high >= max(values) - 1e-9
    assert scale.ticks[0] == pytest.approx(scale.low) and scale.ticks[-1] == pytest.approx(scale.high)
    assert 2 <= len(scale.ticks) <= 7
    assert f"{scale.step:e}"[0] in "125"


@pytest.mark.parametrize("values", [[99.97], [0.1, 0.2], [50.0, 50.01]])
def test_small_differences_are_not_blown_up(values):
    scale = scale_of(values, span=SPAN)
    assert scale.high - scale.low >= SPAN - 1e-9
    assert 0 <= scale.low <= min(values) and max(values) <= scale.high <= 100


def test_a_line_is_broken_where_there_is_no_face():
    drawn = curves("identity", [(3, [(0, 50.0), (1, 60.0), (2, None), (3, 70.0), (4, 80.0)])])
    assert drawn.count('class="line system-3"') == 2 and drawn.count("<circle") == 4
    assert "<title>identity</title>" in drawn
