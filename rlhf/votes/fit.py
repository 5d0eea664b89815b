"""All votes of a track -> how good and how biased each person is, and how often pairs tie.

Dawid and Skene's expectation-maximisation ("Maximum likelihood estimation of observer error-rates using the
EM algorithm", Applied Statistics 28, 1979) over the one-coin model of `vote_model`. The tests hold it against
crowd-kit's, which knows no gold, no left bias, no prior, and only the verdicts that somebody gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED, Verdict
from rlhf.votes.model import (
    CODE,
    ERRORS,
    EXCHANGED,
    PRIOR,
    PRIOR_ANNOTATOR,
    Annotator,
    Floats,
    VoteModel,
    answer_probabilities,
)
from rlhf.votes.vote import COVERAGE, Vote

Integers = NDArray[np.int64]

#: Of these numbers and this maths: another version fits the same votes anew.
FIT_VERSION = "one-coin-1"
#: Weight of `PRIOR`, and of each row of `ERRORS`, in votes.
PSEUDO_VOTES = 20.0
#: Rounds of expectation-maximisation: later ones moved no skill by 0.001, with a third of people guessing.
ROUNDS = 8
#: Beta prior of a skill, and the standard deviation of the normal prior of a left bias: the shrinkage.
SKILL_PRIOR = (6.0, 2.0)
BIAS_SD = 1.0
#: Where skill and bias are looked for. Below chance nobody is read as an oracle turned round.
SKILLS = np.linspace(0.25, 0.99, 38)
BIASES = np.linspace(-5.0, 5.0, 41)


@dataclass(frozen=True)
class _Columns:
    """The expressed votes of a track as arrays: V votes, P pairs, A people."""

    pair: Integers  # (V,) index of the pair
    person: Integers  # (V,) index of the person
    people: list[int]  # A keys
    verdict: Integers  # (V,) code of the verdict
    answer: Integers  # (V,) code of the same on the screen, left and right for first and second
    exchanged: NDArray[np.bool_]  # (V,) the first sample was on the right
    gold: Integers  # (P,) code of the known answer, -1 where there is none


def fit_votes(votes: Sequence[Vote]) -> VoteModel:
    """Fit the model of one track.

    Each person's skill and left bias are judged against what the *others* said of the same pairs, and against
    the known answers of gold pairs, which count as pairs whose truth is certain. Gold pairs do not count in
    the prior, because somebody chose how many of them tie.

    Args:
        votes: of one track, each person at most once a pair; abstentions are left aside.

    Returns:
        The model; without an expressed vote, the one that knows nobody.

    Raises:
        ValueError: votes of several tracks.
    """
    if len({vote.track for vote in votes}) > 1:
        raise ValueError("votes of several tracks: fit each track by itself")
    expressed = [vote for vote in votes if vote.verdict is not Verdict.UNSURE]
    if not expressed:
        return VoteModel()
    columns = _columns(expressed)
    prior, errors = np.array(PRIOR), np.array(ERRORS)
    skill, bias = np.full(len(columns.people), PRIOR_ANNOTATOR.skill), np.zeros(len(columns.people))
    for _ in range(ROUNDS):
        truth, of_others = _expect(columns, prior, errors, skill, bias)
        prior, errors = _prior(columns, truth), _errors(columns, truth)
        people = _people(columns, of_others, errors)
        skill = np.array([person.skill for person in people])
        bias = np.array([person.left_bias for person in people])
    return VoteModel(
        prior=tuple(prior.tolist()),
        errors=tuple(tuple(row) for row in errors.tolist()),
        annotators=dict(zip(columns.people, people, strict=True)),
    )


def _columns(votes: Sequence[Vote]) -> _Columns:
    pairs, pair = np.unique([vote.pair for vote in votes], return_inverse=True)
    people, person = np.unique([vote.annotator for vote in votes], return_inverse=True)
    gold = np.full(len(pairs), -1)
    for vote, index in zip(votes, pair, strict=True):
        if vote.gold is not None:
            gold[index] = CODE[vote.gold]
    verdict = np.array([CODE[vote.verdict] for vote in votes])
    exchanged = np.array([not vote.first_on_left for vote in votes])
    return _Columns(
        pair=pair,
        person=person,
        people=people.tolist(),
        verdict=verdict,
        answer=np.where(exchanged, np.array(EXCHANGED)[verdict], verdict),
        exchanged=exchanged,
        gold=gold,
    )


def _expect(
    columns: _Columns, prior: Floats, errors: Floats, skill: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """Truths of pairs: (P, 4) after all votes, and (V, 4) after all votes but this one."""
    told = answer_probabilities(skill, bias, errors)
    own = _exchange(columns, np.log(told[columns.person, :, columns.answer]))
    log = np.tile(np.log(prior), (len(columns.gold), 1))
    np.add.at(log, columns.pair, own)
    truth, of_others = _normalised(log), _normalised(log[columns.pair] - own)
    known = columns.gold >= 0
    truth[known] = np.eye(len(EXPRESSED))[columns.gold[known]]
    on_gold = known[columns.pair]
    of_others[on_gold] = truth[columns.pair[on_gold]]
    return truth, of_others


def _exchange(columns: _Columns, by_truth: Floats) -> Floats:
    """(V, 4) columns by sample as columns by side, or the other way round."""
    return np.where(columns.exchanged[:, None], by_truth[:, EXCHANGED], by_truth)


def _normalised(log: Floats) -> Floats:
    shares = np.exp(log - log.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def _prior(columns: _Columns, truth: Floats) -> Floats:
    """(4,) shares of true verdicts; which sample is called first is chance, so both get the same."""
    total = truth[columns.gold < 0].sum(0) + PSEUDO_VOTES * np.array(PRIOR)
    total = total + total[EXCHANGED]
    return np.asarray(total / total.sum())


def _errors(columns: _Columns, truth: Floats) -> Floats:
    """(4, 4) where errors fall, pooled over people, the same with the samples exchanged."""
    counts = np.zeros((len(EXPRESSED), len(EXPRESSED)))
    np.add.at(counts.T, columns.verdict, truth[columns.pair])
    counts = counts * (1 - np.eye(len(EXPRESSED))) + PSEUDO_VOTES * np.array(ERRORS)
    counts = counts + counts[np.ix_(EXCHANGED, EXCHANGED)]
    return np.asarray(counts / counts.sum(-1, keepdims=True))


def _people(columns: _Columns, of_others: Floats, errors: Floats) -> list[Annotator]:
    """Everybody's skill and left bias: posterior means and intervals on a grid.

    log p(s, b) = log Beta(s) + log N(b) + sum_i log sum_t p(t | others) p(x_i | t; s, b)
    """
    truth = _exchange(columns, of_others)
    skill, bias = (axis.ravel() for axis in np.meshgrid(SKILLS, BIASES, indexing="ij"))
    told = answer_probabilities(skill, bias, errors)
    right, wrong = SKILL_PRIOR
    prior = (right - 1) * np.log(skill) + (wrong - 1) * np.log(1 - skill) - (bias / BIAS_SD) ** 2 / 2
    people = []
    for index in range(len(columns.people)):
        log = prior
        for code in range(len(EXPRESSED)):
            mine = (columns.person == index) & (columns.answer == code)
            log = log + np.log(truth[mine] @ told[:, :, code].T).sum(0)
        people.append(_annotator(log.reshape(len(SKILLS), len(BIASES))))
    return people


def _annotator(log: Floats) -> Annotator:
    """Summaries of (skills, biases) log weights."""
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    skill, skill_interval = _summary(SKILLS, weight.sum(1))
    bias, bias_interval = _summary(BIASES, weight.sum(0))
    return Annotator(skill, bias, skill_interval, bias_interval)


def _summary(points: Floats, weight: Floats) -> tuple[float, tuple[float, float]]:
    """Mean and central interval of a distribution on a grid."""
    middle = np.cumsum(weight) - weight / 2
    low, high = np.interp([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], middle, points)
    return float(points @ weight), (float(low), float(high))
