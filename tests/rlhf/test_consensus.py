import itertools

import pytest

from rlhf.consensus import resolve_track
from rlhf.records import EXPRESSED, Verdict

FIRST, SECOND, TIE, BOTH_BAD, UNSURE = Verdict


@pytest.mark.parametrize(
    ("verdicts", "wanted", "expected"),
    [
        ([], 3, None),
        ([FIRST, FIRST], 3, None),
        ([FIRST], 1, FIRST),
        ([FIRST, FIRST, SECOND], 3, FIRST),
        ([SECOND, TIE, SECOND], 3, SECOND),
        ([BOTH_BAD, BOTH_BAD, FIRST], 3, BOTH_BAD),
        ([TIE, TIE, FIRST], 3, TIE),
        ([FIRST, SECOND], 2, TIE),
        ([FIRST, SECOND, TIE], 3, TIE),
        ([FIRST, SECOND, UNSURE], 3, TIE),
        ([FIRST, FIRST, UNSURE], 3, FIRST),
        # Two of four is no strict majority, even though nobody chose second.
        ([FIRST, FIRST, TIE, UNSURE], 4, TIE),
        # Half of the people could not tell: one voice is not enough.
        ([FIRST, UNSURE], 2, UNSURE),
        ([UNSURE, UNSURE, FIRST], 3, UNSURE),
        ([UNSURE], 1, UNSURE),
        # More votes than wanted all count.
        ([FIRST, SECOND, SECOND], 1, SECOND),
    ],
)
def test_it_takes_a_strict_majority_of_all_votes(verdicts, wanted, expected):
    assert resolve_track(verdicts, wanted).verdict == expected


def test_it_states_the_mean_of_the_dirichlet_posterior():
    """2 first, 1 tie, 1 unsure under one imagined vote each: (2+1, 0+1, 1+1, 0+1) / (3+4)."""
    shares = resolve_track([FIRST, TIE, UNSURE, FIRST], 4).posterior
    assert shares == pytest.approx({FIRST: 3 / 7, SECOND: 1 / 7, TIE: 2 / 7, BOTH_BAD: 1 / 7})


def test_it_knows_nothing_without_votes():
    assert resolve_track([], 3).posterior == dict.fromkeys(EXPRESSED, 0.25)


def test_it_does_not_depend_on_the_order_of_votes():
    votes = [FIRST, TIE, UNSURE]
    assert len({resolve_track(order, 3).inputs_hash for order in itertools.permutations(votes)}) == 1


def test_it_hashes_every_input():
    base = resolve_track([FIRST, TIE], 2).inputs_hash
    assert base != resolve_track([FIRST, SECOND], 2).inputs_hash
    assert base != resolve_track([FIRST, TIE], 3).inputs_hash


def test_it_swaps_with_the_samples():
    swap = {FIRST: SECOND, SECOND: FIRST}
    for votes in itertools.product(Verdict, repeat=3):
        mirrored = resolve_track([swap.get(v, v) for v in votes], 3).verdict
        verdict = resolve_track(votes, 3).verdict
        assert verdict is not None
        assert mirrored == swap.get(verdict, verdict)


def test_it_refuses_to_want_no_votes():
    with pytest.raises(ValueError, match="wanted is 0"):
        resolve_track([FIRST], 0)
