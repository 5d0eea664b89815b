"""Statistics of votes one vote at a time, as they are defined: what the fast ones are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, groupby
from statistics import median

import krippendorff
import numpy as np
import scipy  # its parts are loaded when they are used: every process that runs tests reads this file

from rlhf.records import EXPRESSED, SIDES, Verdict
from rlhf.votes.annotators import FALSE_ALARMS, RECENT_VOTES
from rlhf.votes.collusion import SHARED_PAIRS
from rlhf.votes.columns import CODE
from rlhf.votes.fit import BIAS_SD, BIASES, PSEUDO_VOTES, ROUNDS, SKILL_PRIOR, SKILLS
from rlhf.votes.model import (
    ERRORS,
    EXCHANGED,
    PRIOR,
    PRIOR_ANNOTATOR,
    Annotator,
    VoteModel,
    answer_probabilities,
    truth_posterior,
)
from rlhf.votes.vote import COVERAGE, Vote
from tests.rlhf.planted import by_pair


def expressed(votes: Sequence[Vote]) -> list[Vote]:
    return [vote for vote in votes if vote.verdict is not Verdict.UNSURE]


def fit(votes: Sequence[Vote]) -> VoteModel:
    """Every person on the whole grid, every logarithm by itself."""
    votes = expressed(votes)
    people = sorted({vote.annotator for vote in votes})
    model = VoteModel(annotators=dict.fromkeys(people, PRIOR_ANNOTATOR))
    for _ in range(ROUNDS):
        truths = {pair: _truth(given, model) for pair, given in by_pair(votes).items()}
        of_others = {
            (vote.pair, vote.annotator): _truth([other for other in given if other is not vote], model, vote)
            for given in by_pair(votes).values()
            for vote in given
        }
        prior, errors = _prior(votes, truths), _errors(votes, truths)
        found = {}
        for person in people:
            mine = [vote for vote in votes if vote.annotator == person]
            found[person] = _person(mine, of_others, errors)
        model = VoteModel(tuple(prior.tolist()), tuple(map(tuple, errors.tolist())), found)
    return model


def _truth(given: Sequence[Vote], model: VoteModel, on_pair_of: Vote | None = None) -> np.ndarray:
    known = next((v.gold for v in (*given, on_pair_of) if v is not None and v.gold is not None), None)
    if known is not None:
        return np.eye(len(EXPRESSED))[CODE[known]]
    return np.array(list(truth_posterior(given, model).values()))


def _prior(votes: Sequence[Vote], truths: dict[int, np.ndarray]) -> np.ndarray:
    gold = {vote.pair for vote in votes if vote.gold is not None}
    total = PSEUDO_VOTES * np.array(PRIOR) + sum(
        (truth for pair, truth in truths.items() if pair not in gold), np.zeros(len(EXPRESSED))
    )
    total = total + total[EXCHANGED]
    return total / total.sum()


def _errors(votes: Sequence[Vote], truths: dict[int, np.ndarray]) -> np.ndarray:
    counts = np.zeros((len(EXPRESSED), len(EXPRESSED)))
    for vote in votes:
        counts[:, CODE[vote.verdict]] += truths[vote.pair]
    counts = counts * (1 - np.eye(len(EXPRESSED))) + PSEUDO_VOTES * np.array(ERRORS)
    counts = counts + counts[np.ix_(EXCHANGED, EXCHANGED)]
    return counts / counts.sum(-1, keepdims=True)


def _person(votes: Sequence[Vote], of_others: dict[tuple[int, int], np.ndarray], errors) -> Annotator:
    skill, bias = (axis.ravel() for axis in np.meshgrid(SKILLS, BIASES, indexing="ij"))
    told = answer_probabilities(skill, bias, errors)
    right, wrong = SKILL_PRIOR
    log = (right - 1) * np.log(skill) + (wrong - 1) * np.log(1 - skill) - (bias / BIAS_SD) ** 2 / 2
    for vote in votes:
        truth, answer = of_others[vote.pair, vote.annotator], CODE[vote.verdict]
        if not vote.first_on_left:
            truth, answer = truth[EXCHANGED], EXCHANGED[answer]
        log = log + np.log(told[:, :, answer] @ truth)
    weight = np.exp(log - log.max()).reshape(len(SKILLS), len(BIASES))
    weight /= weight.sum()
    skill, skill_interval = _summary(SKILLS, weight.sum(1))
    bias, bias_interval = _summary(BIASES, weight.sum(0))
    return Annotator(skill, bias, skill_interval, bias_interval)


def _summary(points: np.ndarray, weight: np.ndarray) -> tuple[float, tuple[float, float]]:
    middle = np.cumsum(weight) - weight / 2
    low, high = np.interp([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], middle, points)
    return float(points @ weight), (float(low), float(high))


def agreement(votes: Sequence[Vote], draws: int) -> dict[str, tuple[float, float, float]]:
    """Value and interval of each statistic, over bootstrap samples of the pairs themselves."""
    counts = np.array(
        [
            [sum(vote.verdict is verdict for vote in given) for verdict in EXPRESSED]
            for _, given in sorted(by_pair(expressed(votes)).items())
        ]
    )
    found = {}
    for name, statistic in {"alpha": _alpha, "ac1": _ac1, "raw": _raw}.items():
        rng = np.random.default_rng(0)
        samples = [counts[rng.integers(len(counts), size=len(counts))] for _ in range(draws)]
        ends = np.quantile([statistic(s) for s in samples], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        found[name] = (statistic(counts), *ends.tolist())
    return found


def _alpha(counts: np.ndarray) -> float:
    judged = counts[counts.sum(1) >= 2]
    return float(krippendorff.alpha(value_counts=judged, level_of_measurement="nominal"))


def _raw(counts: np.ndarray) -> float:
    judged = counts[counts.sum(1) >= 2]
    total = judged.sum(1)
    return float(np.mean((judged * (judged - 1)).sum(1) / (total * (total - 1))))


def _ac1(counts: np.ndarray) -> float:
    share = (counts / counts.sum(1, keepdims=True)).mean(0)
    chance = (share * (1 - share)).sum() / (len(EXPRESSED) - 1)
    return float((_raw(counts) - chance) / (1 - chance))


def person(votes: Sequence[Vote], key: int) -> dict[str, float | None]:
    """The figures of one person's votes, without their intervals."""
    mine = [vote for vote in votes if vote.annotator == key]
    known = [vote for vote in mine if vote.gold is not None]
    sided = [vote.answer for vote in mine if vote.answer in SIDES]
    scores = []
    for vote in expressed(mine):
        others = Counter(v.verdict for v in expressed(votes) if v.pair == vote.pair and v.annotator != key)
        if others:
            scores.append(others[vote.verdict] / others.total())
    times = [vote.active_s for vote in mine if vote.active_s is not None]
    earlier, recent = times[:-RECENT_VOTES], times[-RECENT_VOTES:]
    return {
        "gold_accuracy": sum(v.verdict is v.gold for v in known) / len(known) if known else None,
        "left_share": sided.count("left") / len(sided) if sided else None,
        "agreement": sum(scores) / len(scores) if scores else None,
        "speed": median(recent) / median(earlier) if len(earlier) >= RECENT_VOTES else None,
        "longest_run": max(len(list(run)) for _, run in groupby(vote.answer for vote in mine)),
    }


def colluding(votes: Sequence[Vote], model: VoteModel) -> dict[tuple[int, int], float]:
    """What chance explains of the agreement of two people, where that is little."""
    likely: dict[tuple[int, int], list[float]] = {}
    agreed: dict[tuple[int, int], list[bool]] = {}
    for given in by_pair(expressed(votes)).values():
        for one, other in combinations(sorted(given, key=lambda vote: vote.annotator), 2):
            rest = [vote for vote in given if vote not in (one, other)]
            truth = np.array(list(truth_posterior(rest, model).values()))
            both = (_told(one, model) * _told(other, model)).sum(1)
            people = one.annotator, other.annotator
            likely.setdefault(people, []).append(float(truth @ both))
            agreed.setdefault(people, []).append(one.verdict is other.verdict)
    tested = [people for people, seen in agreed.items() if len(seen) >= SHARED_PAIRS]
    pooled, seen = np.concatenate(list(likely.values())), sum(map(sum, agreed.values()))
    shift = scipy.optimize.brentq(lambda shift: _shifted(pooled, shift).sum() - seen, -20, 20)
    found = {}
    for people in tested:
        share = _shifted(np.array(likely[people]), shift)
        chance = len(tested) * float(scipy.stats.poisson_binom.sf(sum(agreed[people]) - 1, share))
        if chance < FALSE_ALARMS:
            found[people] = chance
    return found


def _told(vote: Vote, model: VoteModel) -> np.ndarray:
    who = model.annotator(vote.annotator)
    told = answer_probabilities(np.array(who.skill), np.array(who.left_bias), np.array(model.errors))
    return told if vote.first_on_left else told[np.ix_(EXCHANGED, EXCHANGED)]


def _shifted(shares: np.ndarray, shift: float) -> np.ndarray:
    odds = shares / (1 - shares) * np.exp(shift)
    return odds / (1 + odds)
