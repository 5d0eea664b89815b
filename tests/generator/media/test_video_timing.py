from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from generator.media.normalise import constant_rate_picks, steady_rate
from generator.media.video import fit


@pytest.mark.parametrize(
    ("starts", "end", "rate", "picks"),
    [
        ([0, 0.1, 0.2], 0.3, 10, [0, 1, 2]),
        ([0, 0.1, 0.3], 0.4, 10, [0, 1, 1, 2]),  # a pause repeats the frame before it
        ([0, 0.05, 0.1, 0.15], 0.2, 10, [0, 2]),  # twice the rate: every other frame goes
        ([0, 0.1, 0.1, 0.2], 0.3, 10, [0, 2, 3]),  # of two frames at one time the later one stays
        ([0, 0.033, 0.067, 0.1], 0.133, 30, [0, 1, 2, 3]),  # times rounded to milliseconds
        ([0], 0.04, 10, [0]),  # something is always shown
    ],
)
def test_it_picks_the_frame_of_every_slot(
    starts: list[float], end: float, rate: int, picks: list[int]
) -> None:
    assert constant_rate_picks(starts, end, Fraction(rate)) == picks


def test_it_keeps_every_moment_within_half_a_slot() -> None:
    starts = [0.0, 0.04, 0.09, 0.2, 0.21, 0.45, 0.5, 0.61]
    rate = Fraction(25)
    picks = constant_rate_picks(starts, 0.65, rate)
    assert len(picks) == round(0.65 * 25)
    assert all(before <= after for before, after in pairwise(picks))
    for slot, pick in enumerate(picks):
        # The frame on screen began by the slot's time, and the next one had not begun yet.
        assert starts[pick] <= slot / 25 + 0.02 + 1e-9
        assert pick + 1 == len(starts) or starts[pick + 1] > slot / 25 - 0.02 - 1e-9


@pytest.mark.parametrize(
    ("starts", "end", "nominal", "rate"),
    [
        ([0, 0.1, 0.2, 0.3], 0.4, None, Fraction(10)),
        ([0, 0.1, 0.2, 0.7, 0.8], 0.9, None, Fraction(10)),  # a pause is no slower rate
        ([0, 0.033, 0.067, 0.1], 0.133, 30.0, Fraction(30)),  # rounded times, right header
        ([0, 0.04, 0.08, 0.12], 0.16, 1000.0, Fraction(25)),  # wrong header
        ([index * 1001 / 30000 for index in range(300)], 10.01, None, Fraction(30000, 1001)),
        ([0.0], 0.125, None, Fraction(8)),
    ],
)
def test_it_finds_the_rate_between_pauses(
    starts: list[float], end: float, nominal: float | None, rate: Fraction
) -> None:
    assert steady_rate(starts, end, nominal) == rate


@pytest.mark.parametrize(
    ("size", "max_side", "fitted"),
    [
        ((1920, 1080), 1280, (1280, 720)),
        ((100, 400), 200, (50, 200)),
        ((64, 64), 1280, (64, 64)),
        ((9000, 1), 90, (90, 1)),
    ],
)
def test_it_only_ever_shrinks(size: tuple[int, int], max_side: int, fitted: tuple[int, int]) -> None:
    assert fit(size, max_side) == fitted
