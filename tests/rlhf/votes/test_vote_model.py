import numpy as np
import pytest

from rlhf.records import EXPRESSED
from rlhf.votes.model import ERRORS, PRIOR, Annotator, VoteModel, answer_probabilities, truth_posterior
from tests.rlhf.planted import FIRST, SECOND, TIE, UNSURE, vote

SWAP = {verdict: verdict.exchanged for verdict in EXPRESSED}


def person(skill: float, left_bias: float) -> Annotator:
    return Annotator(skill, left_bias, (skill, skill), (left_bias, left_bias))


def test_a_left_bias_adds_itself_to_the_log_odds_of_left() -> None:
    skill, bias = np.array([0.6, 0.9, 0.6]), np.array([1.5, -0.7, 0.0])
    biased = answer_probabilities(skill, bias, np.array(ERRORS))
    unbiased = answer_probabilities(skill, np.zeros(3), np.array(ERRORS))
    assert biased.sum(-1) == pytest.approx(np.ones((3, len(EXPRESSED))))

    def odds(told: np.ndarray) -> np.ndarray:
        return np.log(told[..., 0] / told[..., 1])

    assert odds(biased) - odds(unbiased) == pytest.approx(np.tile(bias[:, None], len(EXPRESSED)))


def test_without_bias_the_skill_is_the_share_of_true_answers() -> None:
    told = answer_probabilities(np.array(0.8), np.array(0.0), np.array(ERRORS))
    assert np.diag(told) == pytest.approx([0.8] * len(EXPRESSED))
    assert told[0, 1] == pytest.approx(0.2 * ERRORS[0][1])


def test_one_vote_of_a_stranger_moves_the_prior_by_bayes() -> None:
    told = [0.75, *(0.25 * errors[0] for errors in ERRORS[1:])]
    weights = [prior * share for prior, share in zip(PRIOR, told, strict=True)]
    found = truth_posterior([vote(FIRST)], VoteModel())
    assert list(found.values()) == pytest.approx([weight / sum(weights) for weight in weights])


def test_no_votes_and_abstentions_leave_the_prior() -> None:
    prior = dict(zip(EXPRESSED, PRIOR, strict=True))
    assert truth_posterior([], VoteModel()) == pytest.approx(prior)
    assert truth_posterior([vote(UNSURE), vote(UNSURE, annotator=1)], VoteModel()) == pytest.approx(prior)


def test_a_choice_against_the_own_bias_tells_more_than_one_with_it() -> None:
    model = VoteModel(annotators={1: person(0.6, 2.0), 2: person(0.6, 0.0)})

    def after(annotator: int, first_on_left: bool) -> float:
        given = [vote(FIRST, annotator=annotator, first_on_left=first_on_left)]
        return truth_posterior(given, model)[FIRST]

    assert after(1, True) < after(2, True) < after(1, False)
    assert after(2, True) == pytest.approx(after(2, False))


def test_a_better_person_tells_more() -> None:
    model = VoteModel(annotators={1: person(0.95, 0.0), 2: person(0.3, 0.0)})
    disputed = [vote(FIRST, annotator=1), vote(SECOND, annotator=2)]
    found = truth_posterior(disputed, model)
    assert found[FIRST] > 0.8 > 0.2 > found[SECOND]


def test_it_swaps_with_the_samples() -> None:
    """The same answers on the same screen, with the samples named the other way round."""
    model = VoteModel(annotators={1: person(0.8, 1.2)})
    given = [vote(FIRST, annotator=1), vote(TIE, annotator=2), vote(SECOND, annotator=3)]
    named = [vote(SWAP[v.verdict], annotator=v.annotator, first_on_left=False) for v in given]
    there, back = truth_posterior(given, model), truth_posterior(named, model)
    assert {SWAP[verdict]: share for verdict, share in back.items()} == pytest.approx(there)
