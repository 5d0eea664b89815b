"""People are planted and found again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rlhf.records import EXPRESSED, Track, Verdict
from rlhf.votes.columns import columns_of
from rlhf.votes.fit import SETTLED, SKILL_PRIOR, fit_votes
from rlhf.votes.model import PRIOR_ANNOTATOR, VoteModel, truth_posterior
from rlhf.votes.vote import Vote
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE, by_pair, planted, vote

if TYPE_CHECKING:
    from crowdkit.aggregation.classification import OneCoinDawidSkene

# crowd-kit 1.4.2 uses arguments that pandas 3 has announced to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The .* keyword:DeprecationWarning:crowdkit")

#: A left-clicker, somebody who prefers right, a random clicker, an expert, and twelve others.
PEOPLE = [(0.4, 4.0), (0.8, -1.5), (0.25, 0.0), (0.95, 0.0)] + [(0.65 + 0.02 * n, 0.0) for n in range(12)]


def labels(votes: Sequence[Vote], model: VoteModel) -> list[Verdict]:
    found = []
    for _, given in sorted(by_pair(votes).items()):
        truth = truth_posterior(given, model)
        found.append(max(truth, key=truth.__getitem__))
    return found


def right(found: Sequence[Verdict], truths: Sequence[Verdict]) -> float:
    return float(np.mean([a == b for a, b in zip(found, truths, strict=True)]))


def crowd_kit(votes: Sequence[Vote]) -> OneCoinDawidSkene:
    # Here, since it takes seconds in every process that only collects this file.
    import pandas as pd
    from crowdkit.aggregation.classification import OneCoinDawidSkene

    rows = [(v.pair, v.annotator, v.verdict.value) for v in votes]
    return OneCoinDawidSkene(n_iter=50).fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))


@pytest.fixture(scope="module")
def crowd() -> tuple[list[Vote], list[Verdict], VoteModel]:
    votes, truths = planted(PEOPLE, pairs=1200, prior=(0.3, 0.3, 0.3, 0.1), seed=3)
    return votes, truths, fit_votes(columns_of(votes))


def test_intervals_of_skill_and_bias_hold_what_was_planted(crowd) -> None:
    """95 % intervals of 16 people: fewer than 13 would happen once in a thousand times."""
    _, _, model = crowd
    people = [model.annotators[person] for person in range(len(PEOPLE))]
    for index in (0, 1):
        intervals = [(p.skill_interval, p.left_bias_interval)[index] for p in people]
        held = [low <= p[index] <= high for p, (low, high) in zip(PEOPLE, intervals, strict=True)]
        assert sum(held) >= 13


def test_it_tells_left_clicker_right_lover_guesser_and_expert(crowd) -> None:
    clicker, right_lover, guesser, expert = (crowd[2].annotators[person] for person in range(4))
    assert clicker.left_bias_interval[0] > 2
    assert right_lover.left_bias_interval[1] < 0
    assert guesser.skill_interval[1] < 0.4
    assert expert.skill_interval[0] > 0.85


def test_it_finds_how_often_pairs_tie(crowd) -> None:
    truths = crowd[1]
    expected = [truths.count(verdict) / len(truths) for verdict in EXPRESSED]
    assert crowd[2].prior == pytest.approx(expected, abs=0.04)
    assert crowd[2].prior[0] == crowd[2].prior[1]


def test_its_probabilities_are_honest(crowd) -> None:
    """Of what is called true with probability p, a share p is true; 0.03 is 2.5 standard errors."""
    votes, truths, model = crowd
    posteriors = [truth_posterior(given, model) for _, given in sorted(by_pair(votes).items())]
    claimed = np.mean([max(truth.values()) for truth in posteriors])
    assert claimed == pytest.approx(right(labels(votes, model), truths), abs=0.03)


def test_it_agrees_with_crowd_kit_where_nobody_is_biased() -> None:
    people = [(0.55 + 0.03 * n, 0.0) for n in range(12)]
    votes, _ = planted(people, pairs=600, votes_per_pair=5, seed=1)
    model, peer = fit_votes(columns_of(votes)), crowd_kit(votes)
    theirs = [Verdict(label) for _, label in sorted(peer.labels_.items())]
    assert right(labels(votes, model), theirs) > 0.95
    ours = [model.annotators[person].skill for person in range(len(people))]
    assert ours == pytest.approx([peer.skills_[person] for person in range(len(people))], abs=0.06)


def test_it_is_right_more_often_than_crowd_kit_where_half_of_the_people_click_left() -> None:
    votes, truths = planted([(0.4, 4.0)] * 6 + [(0.8, 0.0)] * 6, pairs=600, seed=2)
    theirs = [Verdict(label) for _, label in sorted(crowd_kit(votes).labels_.items())]
    assert right(labels(votes, fit_votes(columns_of(votes))), truths) > right(theirs, truths) + 0.03


def test_gold_counts_where_nobody_else_has_voted() -> None:
    """17 of 20 right under the prior Beta(a, b): the mean of Beta(a + 17, b + 3)."""
    sides = (FIRST, SECOND)
    votes = [vote(sides[n % 2], pair=n, gold=sides[n % 2], first_on_left=n % 4 < 2) for n in range(17)]
    votes += [vote(FIRST, pair=n, gold=SECOND, first_on_left=n % 2 == 0) for n in range(17, 20)]
    a, b = SKILL_PRIOR
    found = fit_votes(columns_of(votes))
    assert found.annotators[0].skill == pytest.approx((a + 17) / (a + b + 20), abs=0.02)
    assert found.prior == VoteModel().prior


def test_gold_beats_a_majority_that_errs() -> None:
    votes = [
        vote(
            FIRST if person == 0 else SECOND,
            pair=pair,
            annotator=person,
            first_on_left=pair % 2 == 0,
            gold=FIRST,
        )
        for pair in range(30)
        for person in range(3)
    ]
    people = fit_votes(columns_of(votes)).annotators
    assert people[0].skill_interval[0] > 0.8
    assert people[1].skill_interval[1] < 0.5


@pytest.mark.parametrize("verdict", [FIRST, TIE, BOTH_BAD])
def test_unanimous_people_are_good_people(verdict: Verdict) -> None:
    votes = [
        vote(verdict, pair=pair, annotator=person, first_on_left=(pair + person) % 2 == 0)
        for pair in range(40)
        for person in range(3)
    ]
    model = fit_votes(columns_of(votes))
    assert all(person.skill > 0.9 for person in model.annotators.values())
    assert truth_posterior(votes[:3], model)[verdict] > 0.98


def test_one_vote_says_little_of_the_person() -> None:
    found = fit_votes(columns_of([vote(FIRST)])).annotators[0]
    assert found.skill == pytest.approx(PRIOR_ANNOTATOR.skill, abs=0.02)
    assert found.left_bias == pytest.approx(0, abs=0.3)
    assert found.skill_interval == pytest.approx(PRIOR_ANNOTATOR.skill_interval, abs=0.03)
    assert found.left_bias_interval == pytest.approx(PRIOR_ANNOTATOR.left_bias_interval, abs=0.4)


@pytest.mark.parametrize("votes", [[], [vote(UNSURE)]])
def test_without_an_expressed_vote_it_knows_nobody(votes: list[Vote]) -> None:
    assert fit_votes(columns_of(votes)) == VoteModel()


def test_the_order_of_votes_does_not_matter() -> None:
    votes, _ = planted(PEOPLE, pairs=30)
    there, back = fit_votes(columns_of(votes)), fit_votes(columns_of(votes[::-1]))
    assert [p.skill for p in there.annotators.values()] == pytest.approx(
        [p.skill for p in back.annotators.values()]
    )


def test_tracks_are_fitted_apart() -> None:
    with pytest.raises(ValueError, match="several tracks"):
        columns_of([vote(FIRST), vote(FIRST, track=Track.CONTROLLABILITY)])


def test_going_on_from_an_earlier_fit_comes_to_what_a_new_one_does(crowd) -> None:
    """With a twentieth more votes, and with none more."""
    votes, _, anew = crowd
    before = fit_votes(columns_of(votes[: len(votes) * 19 // 20]))
    for start in (before, anew):
        on = fit_votes(columns_of(votes), start)
        assert on.prior == pytest.approx(anew.prior, abs=2 * SETTLED)
        assert on.annotators.keys() == anew.annotators.keys()
        for person, found in on.annotators.items():
            assert found.skill == pytest.approx(anew.annotators[person].skill, abs=2 * SETTLED)
            assert found.left_bias == pytest.approx(anew.annotators[person].left_bias, abs=20 * SETTLED)
