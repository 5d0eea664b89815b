"""Two who copy each other are planted among people who vote for themselves."""

from dataclasses import replace

import numpy as np
import pytest

from rlhf.records import EXPRESSED
from rlhf.votes.collusion import SHARED_PAIRS, colluding
from rlhf.votes.columns import columns_of
from rlhf.votes.fit import fit_votes
from rlhf.votes.model import VoteModel
from rlhf.votes.vote import Vote
from tests.rlhf.planted import FIRST, SECOND, UNSURE, by_pair, planted, vote

PEOPLE = [(0.8, 0.0)] * 8


def found(votes: list[Vote]) -> list[tuple[int, int | None]]:
    columns = columns_of(votes)
    return [(flag.annotator, flag.partner) for flag in colluding(columns, fit_votes(columns))]


def copying(votes: list[Vote], one: int, other: int) -> list[Vote]:
    """The second says whatever the first said, where both judged."""
    said = {(v.pair, v.annotator): v.verdict for v in votes}
    return [
        replace(v, verdict=said.get((v.pair, one), v.verdict)) if v.annotator == other else v for v in votes
    ]


@pytest.mark.parametrize("skill", [0.8, 0.4])
def test_two_who_copy_each_other_are_found_and_nobody_else(skill: float) -> None:
    """Three of eight people judge a pair, so two share 3/28 of 400 pairs; these agree on all of them."""
    votes, _ = planted([(skill, 0.0), (skill, 0.0), *PEOPLE[2:]], pairs=400, seed=6)
    flags = colluding(columns_of(copying(votes, 0, 1)), fit_votes(columns_of(votes)))
    assert [(flag.annotator, flag.partner) for flag in flags] == [(0, 1)]
    assert flags[0].figure == 1
    shared = sum({0, 1} <= {v.annotator for v in given} for given in by_pair(votes).values())
    assert flags[0].reason.startswith(f"agree on {shared} of {shared} pairs that both judged; ")


@pytest.mark.parametrize("seed", range(4))
def test_honest_people_are_left_alone(seed: int) -> None:
    assert found(planted(PEOPLE, pairs=400, seed=seed)[0]) == []


def test_pairs_that_mislead_everybody_make_no_colluders() -> None:
    """On 3 pairs in 10 all people lean to one wrong answer, so all agree more than their skills say."""
    rng = np.random.default_rng(0)
    votes, _ = planted(PEOPLE, pairs=400, seed=8)
    misleading = {pair: EXPRESSED[rng.integers(4)] for pair in range(400) if pair % 10 < 3}
    votes = [
        replace(v, verdict=misleading[v.pair]) if v.pair in misleading and rng.random() < 0.8 else v
        for v in votes
    ]
    assert found(votes) == []


def test_two_good_people_who_agree_are_not_colluding() -> None:
    assert found(planted([(0.97, 0.0), (0.97, 0.0), *PEOPLE[2:]], pairs=400, seed=9)[0]) == []


def test_few_shared_pairs_say_nothing() -> None:
    votes = [vote(FIRST, pair=pair, annotator=n) for pair in range(SHARED_PAIRS - 1) for n in range(2)]
    assert colluding(columns_of(votes), VoteModel()) == []
    assert colluding(columns_of([]), VoteModel()) == []
    abstained = [vote(UNSURE, pair=pair, annotator=n) for pair in range(40) for n in range(2)]
    assert colluding(columns_of(abstained), VoteModel()) == []


def test_unanimous_people_are_not_colluding() -> None:
    votes = [vote((FIRST, SECOND)[pair % 2], pair=pair, annotator=n) for pair in range(40) for n in range(3)]
    assert found(votes) == []
