"""Statistics over arrays are those over votes one by one: equal to 1e-9, intervals and flags included."""

from dataclasses import replace

import numpy as np
import pytest

from rlhf.records import EXPRESSED
from rlhf.votes.agreement import DRAWS, agreement
from rlhf.votes.annotators import report
from rlhf.votes.collusion import colluding
from rlhf.votes.columns import VoteColumns, columns_of
from rlhf.votes.fit import fit_votes
from rlhf.votes.vote import Vote
from tests.rlhf.planted import FIRST, UNSURE, planted
from tests.rlhf.votes import straightforward

TOLERANCE = 1e-9
#: A left-clicker, somebody who prefers right, a guesser, an expert, two who copy each other, and others.
PEOPLE = [(0.4, 4.0), (0.8, -1.5), (0.25, 0.0), (0.99, 0.0), *[(0.6 + 0.05 * n, 0.0) for n in range(6)]]


@pytest.fixture(scope="module")
def votes() -> list[Vote]:
    """With abstentions, untimed votes, gold, and two people of whom one copies the other."""
    rng = np.random.default_rng(0)
    said, truths = planted(PEOPLE, pairs=400, votes_per_pair=4, seed=11)
    first = {vote.pair: vote.verdict for vote in said if vote.annotator == 4}
    return [
        replace(
            vote,
            verdict=UNSURE
            if rng.random() < 0.05
            else first.get(vote.pair, vote.verdict)
            if vote.annotator == 5
            else vote.verdict,
            active_s=None if rng.random() < 0.1 else float(rng.lognormal(2, 0.5)),
            gold=truths[vote.pair] if vote.pair % 10 == 0 else None,
        )
        for vote in said
    ]


@pytest.fixture(scope="module")
def columns(votes: list[Vote]) -> VoteColumns:
    return columns_of(votes)


@pytest.mark.slow
def test_the_fit_is_that_of_the_whole_grid(votes: list[Vote], columns: VoteColumns) -> None:
    found, expected = fit_votes(columns), straightforward.fit(votes)
    assert found.prior == pytest.approx(expected.prior, abs=TOLERANCE)
    assert np.array(found.errors) == pytest.approx(np.array(expected.errors), abs=TOLERANCE)
    assert found.annotators.keys() == expected.annotators.keys()
    for key, person in found.annotators.items():
        assert _flat(person) == pytest.approx(_flat(expected.annotators[key]), abs=TOLERANCE), key


@pytest.mark.slow
def test_the_mass_of_many_votes_is_found_where_it_is() -> None:
    """A thousand votes each weigh on few points of the grid, far from the points that are tried first."""
    said, _ = planted([(0.32, 4.4), (0.97, -4.1), (0.9, 0.1)], pairs=1200, votes_per_pair=3, seed=12)
    found, expected = fit_votes(columns_of(said)), straightforward.fit(said)
    for key, person in found.annotators.items():
        assert _flat(person) == pytest.approx(_flat(expected.annotators[key]), abs=TOLERANCE), key


def test_agreement_has_the_same_bootstrap_samples(votes: list[Vote], columns: VoteColumns) -> None:
    found = agreement(columns)
    for name, figures in straightforward.agreement(votes, DRAWS).items():
        estimate = getattr(found, name)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(figures, abs=TOLERANCE), name


def test_figures_of_people_are_the_same(votes: list[Vote], columns: VoteColumns) -> None:
    found = report(columns)
    assert [person.annotator for person in found] == list(range(len(PEOPLE)))
    for person in found:
        for name, figure in straightforward.person(votes, person.annotator).items():
            estimate = getattr(person, name)
            value = estimate if name == "longest_run" else estimate.value
            assert value == pytest.approx(figure, abs=TOLERANCE), (person.annotator, name)


def test_the_same_people_collude(votes: list[Vote], columns: VoteColumns) -> None:
    model = fit_votes(columns)
    found = {(flag.annotator, flag.partner): flag.chance for flag in colluding(columns, model)}
    assert (4, 5) in found
    assert found == pytest.approx(straightforward.colluding(votes, model), rel=1e-6)


def test_an_abstention_is_no_known_answer(columns: VoteColumns) -> None:
    with pytest.raises(ValueError, match="the known answer of gold pair 7 is unsure"):
        replace(columns[:1], pair=np.array([7]), gold=np.array([len(EXPRESSED)], dtype=np.int8))


def test_answers_are_what_people_saw(columns: VoteColumns) -> None:
    on_right = columns[(columns.verdict == EXPRESSED.index(FIRST)) & ~columns.first_on_left]
    assert len(on_right) and set(on_right.answer.tolist()) == {1}


def _flat(person) -> list[float]:
    return [person.skill, person.left_bias, *person.skill_interval, *person.left_bias_interval]
