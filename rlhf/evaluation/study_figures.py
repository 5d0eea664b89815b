"""What a user study says of its models: win rates, strengths, and how far people agree, by criterion.

Every answer counts once, ties half to either side. Intervals are bootstrapped over participants, because
what one person says of many pairs depends on that person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rlhf.evaluation.study_plan import Criterion
from rlhf.records import Verdict, choice_of
from rlhf.votes.agreement import Agreement, agreement_of
from rlhf.votes.bradley_terry import Comparison, refit, strengths
from rlhf.votes.vote import Estimate, share, with_percentiles

Floats = NDArray[np.float64]

#: Bootstrap samples of participants.
DRAWS = 1000
#: Place of each verdict in an axis of outcomes.
OUTCOMES = {Verdict.FIRST: 0, Verdict.SECOND: 1, Verdict.TIE: 2}


@dataclass(frozen=True)
class Answer:
    """What one participant said of one pair of videos."""

    participant: int  # key of the person
    pair: int  # key of the pair
    first: str  # the model of the first video
    second: str  # the other model
    first_on_left: bool  # whether the first video stood on the left
    verdicts: Mapping[Criterion, Verdict]  # first, second or tie, by each criterion


@dataclass(frozen=True)
class CriterionFigures:
    """One criterion."""

    win_rates: Mapping[str, Estimate]  # of each model, the share of its comparisons that it wins, ties half
    #: The same of each model against each other one; the pairs that met, both ways round.
    against: Mapping[tuple[str, str], Estimate]
    #: log pi of each model by Davidson's model (`rlhf.votes.bradley_terry`), with mean 0.
    strengths: Mapping[str, Estimate]
    ties: Estimate  # the share of answers that are ties
    left: Estimate  # the share of the other answers that are for the left; 0.5 where nobody favours a side
    agreement: Agreement  # of different people on the same pair

    @property
    def ranking(self) -> list[str]:
        """The models, the strongest first, by strength or else by win rate."""
        ranked = (
            self.strengths if all(e.value is not None for e in self.strengths.values()) else self.win_rates
        )
        return sorted(ranked, key=lambda model: -(ranked[model].value or 0))


def study_figures(answers: Sequence[Answer], models: Sequence[str]) -> dict[Criterion, CriterionFigures]:
    """Everything that a study's answers say of its models, which are given as they are shown."""
    return {criterion: _figures(answers, list(models), criterion) for criterion in Criterion}


def _figures(answers: Sequence[Answer], models: list[str], criterion: Criterion) -> CriterionFigures:
    matches = list(combinations(range(len(models)), 2))
    counts = _count(answers, models, matches, criterion)
    draws = _resample(counts)
    decided = [answer for answer in answers if answer.verdicts[criterion] != Verdict.TIE]
    lefts = sum(choice_of(a.verdicts[criterion], first_on_left=a.first_on_left) == "left" for a in decided)
    against = {}
    for number, (one, other) in enumerate(matches):
        there = counts[:, [number]]
        for model, rival in ((one, other), (other, one)):
            rate = _rate(there, draws[:, [number]], [(one, other)], model)
            against[models[model], models[rival]] = rate
    return CriterionFigures(
        win_rates={name: _rate(counts, draws, matches, number) for number, name in enumerate(models)},
        against=against,
        strengths=_strengths(answers, models, matches, criterion, draws),
        ties=share(len(answers) - len(decided), len(answers), what="answers"),
        left=share(lefts, len(decided), what="answers for a side"),
        agreement=agreement_of(_by_pair(answers, criterion)),
    )


def _count(
    answers: Sequence[Answer], models: list[str], matches: list[tuple[int, int]], criterion: Criterion
) -> Floats:
    """(participants, matches, outcomes), outcomes in terms of the match: the one, the other, tie."""
    people = {key: row for row, key in enumerate(sorted({answer.participant for answer in answers}))}
    counts = np.zeros((len(people), len(matches), len(OUTCOMES)))
    for answer in answers:
        one, other = models.index(answer.first), models.index(answer.second)
        outcome = OUTCOMES[answer.verdicts[criterion]]
        if one > other:
            one, other, outcome = other, one, (1, 0, 2)[outcome]
        counts[people[answer.participant], matches.index((one, other)), outcome] += 1
    return counts


def _resample(counts: Floats) -> Floats:
    """(DRAWS, matches, outcomes): counts over as many participants, drawn with replacement."""
    people = len(counts)
    if not people:
        return np.zeros((DRAWS, *counts.shape[1:]))
    drawn = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), size=DRAWS)
    return np.einsum("dp,pmo->dmo", drawn.astype(float), counts)


def _rate(counts: Floats, draws: Floats, matches: list[tuple[int, int]], model: int) -> Estimate:
    """The share of its comparisons that a model wins, ties half."""
    # What each outcome of each match gives the model; NaN where it is not of the match.
    gains = np.array([[1, 0, 0.5] if m[0] == model else [0, 1, 0.5] for m in matches])
    of_model = np.array([model in match for match in matches])

    def rate(total: Floats) -> Floats:
        mine = total[..., of_model, :]
        met = mine.sum((-2, -1))
        won = (mine * gains[of_model]).sum((-2, -1))
        return np.divide(won, met, out=np.full(np.shape(met), np.nan), where=met > 0)

    met = int(counts[:, of_model].sum())
    if not met:
        return Estimate.undefined("nobody compared it")
    return _with_interval(float(rate(counts.sum(0))), rate(draws), met, len(counts))


def _strengths(
    answers: Sequence[Answer],
    models: list[str],
    matches: list[tuple[int, int]],
    criterion: Criterion,
    draws: Floats,
) -> dict[str, Estimate]:
    said = [
        Comparison(number, answer.first, answer.second, answer.verdicts[criterion])
        for number, answer in enumerate(answers)
    ]
    whole = strengths(said).models
    if whole.keys() != set(models):
        return dict.fromkeys(models, Estimate.undefined("not every model was compared with another one"))
    if any(estimate.value is None for estimate in whole.values()):
        return whole
    people = len({answer.participant for answer in answers})
    drawn = refit(matches, draws)
    return {
        name: _with_interval(whole[name].value or 0.0, drawn[:, number], whole[name].count, people)
        for number, name in enumerate(models)
    }


def _with_interval(value: float, drawn: Floats, count: int, people: int) -> Estimate:
    if people < 2:
        return Estimate(value, None, None, count, "no interval because only one participant answered")
    return with_percentiles(value, drawn, count)


def _by_pair(answers: Sequence[Answer], criterion: Criterion) -> NDArray[np.int64]:
    """(pairs, outcomes) how many people gave each verdict."""
    given = Counter((answer.pair, OUTCOMES[answer.verdicts[criterion]]) for answer in answers)
    pairs = sorted({pair for pair, _ in given})
    counts = [[given[pair, outcome] for outcome in OUTCOMES.values()] for pair in pairs]
    return np.array(counts, dtype=np.int64).reshape(-1, len(OUTCOMES))
