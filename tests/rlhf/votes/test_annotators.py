"""People with one habit each are planted among honest ones, and found by that habit."""

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rlhf.records import EXPRESSED
from rlhf.votes.annotators import (
    FALSE_ALARMS,
    FlagKind,
    agreements_with_others,
    gold_accuracy,
    left_share,
    longest_run,
    report,
    run_chance,
    speed,
)
from rlhf.votes.columns import columns_of
from rlhf.votes.vote import Vote
from tests.rlhf.planted import FIRST, SECOND, TIE, UNSURE, planted, vote

HONEST = [(0.8, 0.0)] * 11


def flags_of(votes: list[Vote]) -> dict[int, set[FlagKind]]:
    return {found.annotator: {flag.kind for flag in found.flags} for found in report(columns_of(votes))}


def instead_of_zero(votes: list[Vote], verdict) -> list[Vote]:
    """Person 0 votes by a habit; everybody else as before."""
    return [replace(v, verdict=verdict(v)) if v.annotator == 0 else v for v in votes]


@pytest.fixture(scope="module")
def panel() -> list[Vote]:
    return planted([*HONEST, (0.8, 0.0)], pairs=300, seed=4)[0]


def test_honest_people_have_no_flags(panel: list[Vote]) -> None:
    assert set().union(*flags_of(panel).values()) == set()


def test_chance_raises_few_flags() -> None:
    """Five kinds, each at most in a share FALSE_ALARMS of 20 panels: 5 in the mean, 12 once in 400 times."""
    panels = [planted(HONEST, pairs=60, seed=100 + seed)[0] for seed in range(20)]
    raised = sum(len(kinds) for votes in panels for kinds in flags_of(votes).values())
    assert raised <= len(FlagKind) * FALSE_ALARMS * len(panels) + 7


def test_a_left_clicker_is_found(panel: list[Vote]) -> None:
    votes = instead_of_zero(panel, lambda v: FIRST if v.first_on_left else SECOND)
    found = flags_of(votes)
    assert found.pop(0) >= {FlagKind.SIDE, FlagKind.STRAIGHT_LINE}
    assert set().union(*found.values()) == set()
    flag = next(flag for flag in report(columns_of(votes))[0].flags if flag.kind is FlagKind.SIDE)
    assert flag.figure == 1
    assert flag.reason.startswith("picks left in 100% of ")


def test_somebody_who_leans_to_the_right_is_found() -> None:
    votes = planted([(0.8, -2.5), *HONEST], pairs=300, seed=5)[0]
    assert FlagKind.SIDE in flags_of(votes)[0]
    left = report(columns_of(votes))[0].left_share
    assert left.high < 0.5


def test_a_random_clicker_disagrees(panel: list[Vote]) -> None:
    rng = random.Random(0)
    votes = instead_of_zero(panel, lambda v: rng.choice(EXPRESSED))
    found = flags_of(votes)
    assert found.pop(0) == {FlagKind.DISAGREES}
    assert set().union(*found.values()) == set()


def test_somebody_who_always_ties_draws_a_straight_line(panel: list[Vote]) -> None:
    assert FlagKind.STRAIGHT_LINE in flags_of(instead_of_zero(panel, lambda v: TIE))[0]


def test_gold_tells_who_is_wrong() -> None:
    """6 of 20 where 0.7 is expected: less likely than 0.001; 14 of 20 is as expected."""
    votes = [
        vote(FIRST if n < right else SECOND, pair=n, annotator=person, first_on_left=n % 2 == 0, gold=FIRST)
        for person, right in enumerate((6, 14))
        for n in range(20)
    ]
    found = report(columns_of(votes))
    assert [flag.kind for flag in found[0].flags] == [FlagKind.GOLD]
    assert found[0].flags[0].reason == "6 of 20 gold pairs right; 70% are expected"
    assert found[0].gold_accuracy.value == 0.3
    assert found[1].flags == ()


def timed(seconds: list[float]) -> list[Vote]:
    """Votes of people who agree with nobody in particular, so that only time can be noticed."""
    verdicts = [FIRST, TIE, SECOND]
    return [
        vote(verdicts[n % 3], pair=n, first_on_left=n % 2 == 0, active_s=s) for n, s in enumerate(seconds)
    ]


def test_somebody_who_speeds_up_is_found_by_their_own_history() -> None:
    rng = np.random.default_rng(0)
    slow = rng.lognormal(3, 0.4, 60).tolist()
    fast = (rng.lognormal(3, 0.4, 30) / 3).tolist()
    found = report(columns_of(timed(slow + fast)))[0]
    assert [flag.kind for flag in found.flags] == [FlagKind.FASTER]
    assert found.speed.value == pytest.approx(1 / 3, rel=0.3)
    assert report(columns_of(timed(fast + slow)))[0].flags == ()


def test_speed_needs_a_history() -> None:
    assert speed(columns_of(timed([10.0] * 45))).reason == "undefined because 15 more timed votes are needed"
    assert speed(columns_of([])).value is None
    assert speed(columns_of(timed([10.0] * 60))).value == 1


def test_agreement_is_the_mean_share_of_others_who_said_the_same() -> None:
    """Person 0: half of two others on pair 1, the one other on pair 2; pair 3 has nobody else."""
    votes = [
        *(vote(v, pair=1, annotator=n) for n, v in enumerate((FIRST, FIRST, SECOND))),
        *(vote(v, pair=2, annotator=n) for n, v in enumerate((TIE, TIE, UNSURE))),
        vote(FIRST, pair=3, annotator=0),
    ]
    found = agreements_with_others(columns_of(votes))
    assert found[0].count == 2
    assert found[0].value == pytest.approx((0.5 + 1) / 2)
    assert found[2].value == 0


def test_what_cannot_be_said_says_why() -> None:
    found = report(columns_of([vote(UNSURE)]))[0]
    assert found.gold_accuracy.reason == "undefined because there are no gold votes"
    assert found.left_share.reason == "undefined because there are no votes for a side"
    assert found.agreement.reason == "undefined because there are no votes on pairs that others have judged"
    assert found.flags == ()
    assert report(columns_of([])) == []


def test_sides_and_gold_are_counted() -> None:
    votes = [vote(FIRST), vote(FIRST, first_on_left=False), vote(SECOND, first_on_left=False), vote(TIE)]
    left = left_share(columns_of(votes))
    assert (left.value, left.count) == (pytest.approx(2 / 3), 3)
    known = [vote(FIRST, gold=FIRST), vote(UNSURE, gold=FIRST), vote(TIE)]
    right = gold_accuracy(columns_of(known))
    assert (right.value, right.count) == (0.5, 2)


def test_the_longest_run() -> None:
    assert longest_run(np.array([])) == 0
    assert longest_run(np.array([0])) == 1
    assert longest_run(np.array([0, 1, 1, 2, 1])) == 2


@pytest.mark.parametrize(("length", "answers"), [(3, 3), (3, 6), (4, 8), (8, 8)])
def test_the_chance_of_a_run_is_bounded_by_counting_every_sequence(length: int, answers: int) -> None:
    """All sequences of a fair coin; the bound is exact where only one run fits."""
    sequences = list(product((0, 1), repeat=answers))
    exact = sum(longest_run(np.array(sequence)) >= length for sequence in sequences) / len(sequences)
    bound = run_chance(length, answers, [0.5, 0.5])
    assert exact <= bound + 1e-12
    if 2 * length > answers:
        assert bound == pytest.approx(exact)
