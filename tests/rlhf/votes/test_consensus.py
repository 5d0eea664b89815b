import itertools

import pytest

from rlhf.records import EXPRESSED, Verdict
from rlhf.votes.consensus import resolve_track, resolve_weighed
from rlhf.votes.model import Annotator, VoteModel
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE, vote


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
    """2 first, 1 tie, 1 unsure under one imagined vote for each: 2 + 1, 1 + 1, elsewhere 0 + 1, of 3 + 4."""
    shares = resolve_track([FIRST, TIE, UNSURE, FIRST], 4).posterior
    imagined = dict.fromkeys(EXPRESSED, 1 / (3 + len(EXPRESSED)))
    assert shares == pytest.approx(imagined | {FIRST: 3 * imagined[FIRST], TIE: 2 * imagined[TIE]})


def test_it_knows_nothing_without_votes():
    assert resolve_track([], 3).posterior == dict.fromkeys(EXPRESSED, 1 / len(EXPRESSED))


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


EXPERT = Annotator(0.97, 0.0, (0.9, 0.99), (-0.5, 0.5))
GUESSER = Annotator(0.26, 0.0, (0.25, 0.3), (-0.5, 0.5))
CLICKER = Annotator(0.5, 4.0, (0.4, 0.6), (3.0, 5.0))
KNOWN = VoteModel(annotators={0: EXPERT, 1: GUESSER, 2: GUESSER, 3: CLICKER, 4: CLICKER})


def weighed(verdicts, wanted=3, model=KNOWN, people=range(5)):
    votes = [vote(v, annotator=n) for n, v in zip(people, verdicts, strict=False)]
    return resolve_weighed(votes, model, wanted)


def test_an_expert_outweighs_guessers():
    assert resolve_track([FIRST, SECOND, SECOND], 3).verdict == SECOND
    found = weighed([FIRST, SECOND, SECOND])
    assert found.verdict == FIRST
    assert found.posterior[FIRST] > 0.9
    assert found.rule_version == "one-coin-1"


def test_left_clickers_hardly_count_where_they_click_left():
    """Strangers who name the first sample twice settle it; clickers who have it on their left do not."""
    clickers = weighed([FIRST, FIRST], wanted=2, people=(3, 4)).posterior[FIRST]
    strangers = weighed([FIRST, FIRST], wanted=2, people=(8, 9)).posterior[FIRST]
    assert clickers < 0.6 < 0.9 < strangers


@pytest.mark.parametrize(
    ("verdicts", "wanted", "expected"),
    [
        ([], 1, None),
        ([FIRST], 2, None),
        ([FIRST], 1, FIRST),
        ([FIRST, UNSURE], 2, UNSURE),
        ([BOTH_BAD, BOTH_BAD, TIE], 3, BOTH_BAD),
        ([FIRST, SECOND], 2, TIE),
    ],
)
def test_weighed_strangers_are_resolved(verdicts, wanted, expected):
    assert weighed(verdicts, wanted, VoteModel()).verdict == expected


def test_what_is_weighed_is_hashed_and_its_order_is_not():
    votes = [vote(FIRST, annotator=0), vote(TIE, annotator=1)]
    base = resolve_weighed(votes, KNOWN, 2).inputs_hash
    assert resolve_weighed(votes[::-1], KNOWN, 2).inputs_hash == base
    assert resolve_weighed(votes, VoteModel(), 2).inputs_hash != base
    assert resolve_weighed(votes, KNOWN, 1).inputs_hash != base
    turned = [vote(FIRST, annotator=0, first_on_left=False), votes[1]]
    assert resolve_weighed(turned, KNOWN, 2).inputs_hash != base


def test_weighing_refuses_to_want_no_votes():
    with pytest.raises(ValueError, match="wanted is 0"):
        resolve_weighed([vote(FIRST)], KNOWN, 0)
