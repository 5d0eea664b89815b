"""All votes of a track -> how good and how biased each person is, and how often pairs tie.

Dawid and Skene's expectation-maximisation ("Maximum likelihood estimation of observer error-rates using the
EM algorithm", Applied Statistics 28, 1979) over the one-coin model of `vote_model`. The tests hold it against
crowd-kit's, which knows no gold, no left bias, no prior, and only the verdicts that somebody gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED
from rlhf.votes.columns import NO_GOLD, VoteColumns
from rlhf.votes.model import (
    ERRORS,
    EXCHANGED,
    PRIOR,
    Annotator,
    Floats,
    VoteModel,
    answer_probabilities,
    by_sample,
    log_truths,
    normalised,
)
from rlhf.votes.vote import COVERAGE

Integers = NDArray[np.int64]

#: Of these numbers and this maths: another version fits the same votes anew.
FIT_VERSION = "one-coin-1"
#: Weight of `PRIOR`, and of each row of `ERRORS`, in votes.
PSEUDO_VOTES = 20.0
#: Rounds of expectation-maximisation: later ones moved no skill by 0.001, with a third of people guessing.
ROUNDS = 8
#: A fit that goes on from an earlier one ends when a round moves no skill by more. Then it is as near to what
#: endless rounds would come to as one that begins anew, so the two differ by about twice as much.
SETTLED = 0.001
#: Beta prior of a skill, and the standard deviation of the normal prior of a left bias: the shrinkage.
SKILL_PRIOR = (6.0, 2.0)
BIAS_SD = 1.0
#: A fit goes on from an earlier one while the number of votes has changed by no more than this share since.
CHANGED = 0.1
#: Where skill and bias are looked for. Below chance nobody is read as an oracle turned round.
SKILLS = np.linspace(0.25, 0.99, 38)
BIASES = np.linspace(-5.0, 5.0, 41)


#: Grid points whose weight is less than e to this power of the greatest one's are left out.
NEGLIGIBLE = -30.0
#: Where the mass lies is found on every so manieth point of either axis.
COARSE = 4
#: So many probabilities are multiplied before a logarithm is taken of them; all may be as small as 1e-19.
FACTORS = 16


@dataclass(frozen=True)
class _Votes:
    """The expressed votes of a track by place: V votes, P pairs, A people. Sorted by person and answer."""

    pair: Integers  # (V,) index of the pair
    person: Integers  # (V,) index of the person
    people: list[int]  # A keys
    verdict: Integers  # (V,) code of the verdict
    first_on_left: Integers  # (V,) 1 where the first sample was on the left, otherwise 0
    gold: Integers  # (P,) code of the known answer, NO_GOLD where there is none
    stretches: Integers  # (A, 5) where the votes of each person with each answer on the screen begin and end


def fit_votes(votes: VoteColumns, start: VoteModel | None = None) -> VoteModel:
    """Fit the model of one track.

    Each person's skill and left bias are judged against what the *others* said of the same pairs, and against
    the known answers of gold pairs, which count as pairs whose truth is certain. Gold pairs do not count in
    the prior, because somebody chose how many of them tie.

    Args:
        votes: of one track, each person at most once a pair; abstentions are left aside.
        start: what was fitted to nearly the same votes; going on from it takes fewer rounds.

    Returns:
        The model; without an expressed vote, the one that knows nobody.
    """
    expressed = votes.expressed
    if not len(expressed):
        return VoteModel()
    placed = _placed(expressed)
    begin = start or VoteModel()
    prior, errors = np.array(begin.prior), np.array(begin.errors)
    known = [begin.annotator(key) for key in placed.people]
    skill, bias = np.array([one.skill for one in known]), np.array([one.left_bias for one in known])
    for _ in range(ROUNDS):
        truth, of_others = _expect(placed, prior, errors, skill, bias)
        prior, errors = _prior(placed, truth), _errors(placed, truth)
        people, before = _people(placed, of_others, errors), skill
        skill = np.array([person.skill for person in people])
        bias = np.array([person.left_bias for person in people])
        if start is not None and np.abs(skill - before).max() < SETTLED:
            break
    return VoteModel(
        prior=tuple(prior.tolist()),
        errors=tuple(tuple(row) for row in errors.tolist()),
        annotators=dict(zip(placed.people, people, strict=True)),
    )


def fit_again(votes: VoteColumns, last: VoteModel | None, num_votes: int) -> VoteModel:
    """Fit votes of which most were fitted before.

    It goes on from the last fit, or begins anew where much has changed. Its skills are within 0.002 of those
    that begin anew, its biases within 0.02.

    Args:
        votes: all of them.
        last: what was fitted last, if anything was.
        num_votes: to how many votes.
    """
    is_near = last is not None and abs(len(votes) - num_votes) <= CHANGED * num_votes
    return fit_votes(votes, last if is_near else None)


def _placed(votes: VoteColumns) -> _Votes:
    votes = votes[np.lexsort((votes.answer, votes.annotator))]
    pairs, pair = np.unique(votes.pair, return_inverse=True)
    people, person = np.unique(votes.annotator, return_inverse=True)
    gold = np.full(len(pairs), NO_GOLD, dtype=np.int64)
    gold[pair] = votes.gold
    num_answers = len(EXPRESSED)
    ends = np.bincount(person * num_answers + votes.answer, minlength=len(people) * num_answers).cumsum()
    return _Votes(
        pair=pair,
        person=person,
        people=people.tolist(),
        verdict=votes.verdict.astype(np.int64),
        first_on_left=votes.first_on_left.astype(np.int64),
        gold=gold,
        stretches=np.column_stack(
            [np.append(0, ends[num_answers - 1 : -1 : num_answers]), ends.reshape(-1, num_answers)]
        ),
    )


def _expect(
    votes: _Votes, prior: Floats, errors: Floats, skill: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """Truths of pairs by sample, (P, 4) after all votes; by side, (V, 4) after all votes but this one."""
    told = np.log(by_sample(answer_probabilities(skill, bias, errors)))
    own = told[votes.person, votes.first_on_left, :, votes.verdict]
    log = log_truths(votes.pair, own, prior)
    others = np.subtract(log[votes.pair], own, out=own)
    truth, of_others = normalised(log), normalised(others)
    known = votes.gold != NO_GOLD
    truth[known] = np.eye(len(EXPRESSED))[votes.gold[known]]
    on_gold = known[votes.pair]
    of_others[on_gold] = truth[votes.pair[on_gold]]
    exchanged = votes.first_on_left == 0
    of_others[exchanged] = of_others[exchanged][:, EXCHANGED]
    return truth, of_others


def _prior(votes: _Votes, truth: Floats) -> Floats:
    """(4,) shares of true verdicts; which sample is called first is chance, so both get the same."""
    total = truth[votes.gold == NO_GOLD].sum(0) + PSEUDO_VOTES * np.array(PRIOR)
    total = total + total[EXCHANGED]
    return np.asarray(total / total.sum())


def _errors(votes: _Votes, truth: Floats) -> Floats:
    """(4, 4) where errors fall, pooled over people, the same with the samples exchanged."""
    counts = np.array(
        [
            np.bincount(votes.verdict, truth[votes.pair, code], minlength=len(EXPRESSED))
            for code in range(len(EXPRESSED))
        ]
    )
    counts = counts * (1 - np.eye(len(EXPRESSED))) + PSEUDO_VOTES * np.array(ERRORS)
    counts = counts + counts[np.ix_(EXCHANGED, EXCHANGED)]
    return np.asarray(counts / counts.sum(-1, keepdims=True))


def _people(votes: _Votes, of_others: Floats, errors: Floats) -> list[Annotator]:
    """Everybody's skill and left bias: posterior means and intervals on a grid.

    log p(s, b) = log Beta(s) + log N(b) + sum_i log sum_t p(t | others) p(x_i | t; s, b)
    """
    skill, bias = np.meshgrid(SKILLS, BIASES, indexing="ij")
    told = np.moveaxis(answer_probabilities(skill, bias, errors), -1, 0)
    right, wrong = SKILL_PRIOR
    prior = (right - 1) * np.log(skill) + (wrong - 1) * np.log(1 - skill) - (bias / BIAS_SD) ** 2 / 2
    people = []
    for ends in votes.stretches:
        by_answer = [of_others[start:end] for start, end in pairwise(ends)]
        people.append(_annotator(_log_weights(prior, told, by_answer)))
    return people


def _log_weights(prior: Floats, told: Floats, by_answer: Sequence[Floats]) -> Floats:
    """Log posterior of one person on the grid, where it matters; minus infinity elsewhere.

    After many votes the mass lies on few points of the grid. It is looked for on a coarse grid; then the box
    around it is filled, and widened until nothing on its border is within NEGLIGIBLE of the greatest weight.
    What is left out is less than 1e-9 of the mass, as long as it lies in one piece.

    Args:
        prior: (skills, biases) log prior.
        told: (4, skills, biases, 4) probability of each answer given each truth, in terms of the screen.
        by_answer: for each answer, (votes, 4) truth after everybody else's votes.
    """

    def weights(box: tuple[slice, slice]) -> Floats:
        here = prior[box].copy()
        for answer, truth in enumerate(by_answer):
            if len(truth):
                likely = truth @ told[answer][box].reshape(-1, len(EXPRESSED)).T
                products = np.multiply.reduceat(likely, np.arange(0, len(truth), FACTORS))
                here += np.log(products).sum(0).reshape(here.shape)
        return here

    log = np.full(prior.shape, -np.inf)
    coarse = slice(None, None, COARSE)
    log[coarse, coarse] = weights((coarse, coarse))
    box = _box(log, margin=COARSE)
    while True:
        log[box] = weights(box)
        wanted = _box(log, margin=1)
        if all(
            inner.start >= outer.start and inner.stop <= outer.stop
            for inner, outer in zip(wanted, box, strict=True)
        ):
            return log
        box = wanted


def _box(log: Floats, margin: int) -> tuple[slice, slice]:
    """The smallest box of the grid with every weight that matters, and a margin around it."""
    near = np.argwhere(log > log.max() + NEGLIGIBLE)
    low, high = np.maximum(near.min(0) - margin, 0), np.minimum(near.max(0) + margin + 1, log.shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


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
