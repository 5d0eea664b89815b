"""Verdicts as data: whatever is said of one is said of all, and the screen and the samples never mix."""

import pytest

from rlhf.records import (
    CHOICES,
    EXPRESSED,
    FAVOURED,
    SETTLES,
    SIDES,
    VERDICTS,
    Verdict,
    choice_of,
    verdict_of,
)
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE


def test_every_verdict_has_its_words_and_a_key_and_an_answer_of_its_own():
    assert list(VERDICTS) == list(Verdict)
    for name in ("choice", "key", "words", "hint", "cause"):
        words = [getattr(verdict.data, name) for verdict in Verdict]
        assert all(words) and len(set(words)) == len(Verdict), name
    assert all(len(verdict.data.key) == 1 and "_" not in verdict.label for verdict in Verdict)


def test_a_verdict_favours_a_sample_or_settles_a_pair_and_its_votes_have_a_name():
    for verdict in Verdict:
        assert (verdict in FAVOURED) != (verdict in SETTLES)
        assert all(verdict.data.vote) == (verdict in SETTLES)


def test_exchanging_the_samples_exchanges_the_wins():
    for verdict in Verdict:
        assert verdict.exchanged.exchanged is verdict
        assert (verdict.exchanged is verdict) == (verdict not in FAVOURED)
    assert all(v.data.score + v.exchanged.data.score == 1 for v in EXPRESSED)


@pytest.mark.parametrize("first_on_left", [True, False])
def test_what_is_chosen_on_the_screen_comes_back_from_what_it_says(first_on_left):
    for choice in CHOICES:
        said = verdict_of(choice, first_on_left=first_on_left)
        assert choice_of(said, first_on_left=first_on_left) == choice
        assert (choice in SIDES) == (said in FAVOURED)


@pytest.mark.parametrize(
    ("choice", "first_on_left", "verdict"),
    [
        ("left", True, FIRST),
        ("right", True, SECOND),
        ("left", False, SECOND),
        ("right", False, FIRST),
        ("tie", False, TIE),
        ("both_bad", True, BOTH_BAD),
        ("unsure", True, UNSURE),
    ],
)
def test_a_screen_side_becomes_a_sample(choice, first_on_left, verdict):
    assert verdict_of(choice, first_on_left=first_on_left) is verdict


def test_an_answer_that_is_not_offered_is_refused_by_its_name():
    with pytest.raises(ValueError, match="side is 'tie'; it must be one of: left, right"):
        verdict_of("tie", first_on_left=True, name="side", among=SIDES)
