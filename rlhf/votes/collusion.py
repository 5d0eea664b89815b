"""Two people who agree more than each one's agreement with the rest predicts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from rlhf.records import Verdict
from rlhf.votes.annotators import FALSE_ALARMS, Flag, FlagKind
from rlhf.votes.model import CODE, EXCHANGED, Floats, VoteModel, answer_probabilities, truth_posterior
from rlhf.votes.vote import Vote

#: Fewer pairs judged by both say nothing.
SHARED_PAIRS = 15


def colluding(votes: Sequence[Vote], model: VoteModel) -> list[Flag]:
    """Flags of people who agree with each other beyond chance, the strongest first.

    On a pair that both a and b judged, they agree with probability

        q = sum_t p(t | votes of everybody else) sum_x p(x | t; a) p(x | t; b)

    if they answer independently given the truth. Some pairs mislead everybody, so that all people agree more
    than that: the log-odds of every q are shifted by one constant, until the sum over all people is what was
    seen. The number of agreements of a and b is then Poisson-binomial. Two who always agree also raise each
    other's skill a little, which makes the test milder, never stricter.

    Args:
        votes: of one track.
        model: fitted to them.

    Returns:
        At most one flag for two people, on the one with the smaller key, naming the other as partner.
    """
    expected, agreed = _together(votes, model)
    tested = [people for people, seen in agreed.items() if len(seen) >= SHARED_PAIRS]
    if not tested:
        return []
    from scipy.stats import poisson_binom

    shift = _shift(np.concatenate(list(expected.values())), sum(sum(seen) for seen in agreed.values()))
    flags = []
    for people in tested:
        likely = _shifted(np.array(expected[people]), shift)
        seen, number = sum(agreed[people]), len(agreed[people])
        chance = min(1.0, len(tested) * float(poisson_binom.sf(seen - 1, likely)))
        if chance < FALSE_ALARMS:
            reason = f"agree on {seen} of {number} pairs that both judged; {likely.sum():.0f} are expected"
            flags.append(
                Flag(people[0], FlagKind.COLLUSION, seen / number, chance, reason, partner=people[1])
            )
    return sorted(flags, key=lambda flag: flag.chance)


def _together(
    votes: Sequence[Vote], model: VoteModel
) -> tuple[dict[tuple[int, int], list[float]], dict[tuple[int, int], list[bool]]]:
    """For each two people, by pair that both judged: how likely they were to agree, and whether they did."""
    on_pair: dict[int, list[Vote]] = {}
    for vote in votes:
        if vote.verdict is not Verdict.UNSURE:
            on_pair.setdefault(vote.pair, []).append(vote)
    expected: dict[tuple[int, int], list[float]] = {}
    agreed: dict[tuple[int, int], list[bool]] = {}
    for given in on_pair.values():
        for one, other in combinations(sorted(given, key=lambda vote: vote.annotator), 2):
            truth = truth_posterior([vote for vote in given if vote not in (one, other)], model)
            both = np.einsum("tx,tx->t", _told(one, model), _told(other, model))
            people = one.annotator, other.annotator
            weights = np.array([truth[verdict] for verdict in CODE])
            expected.setdefault(people, []).append(float(weights @ both))
            agreed.setdefault(people, []).append(one.verdict is other.verdict)
    return expected, agreed


def _told(vote: Vote, model: VoteModel) -> Floats:
    """(4, 4) what the person would say of the samples, as they were placed for them."""
    person = model.annotator(vote.annotator)
    told = answer_probabilities(np.array(person.skill), np.array(person.left_bias), np.array(model.errors))
    return told if vote.first_on_left else told[np.ix_(EXCHANGED, EXCHANGED)]


def _shift(expected: Floats, seen: int) -> float:
    """The constant that makes the expected number of agreements the seen one."""
    from scipy.optimize import brentq

    if not 0 < seen < len(expected):
        return 0.0
    return float(brentq(lambda shift: _shifted(expected, shift).sum() - seen, -20.0, 20.0))


def _shifted(shares: Floats, shift: float) -> Floats:
    odds = shares / (1 - shares) * np.exp(shift)
    return np.asarray(odds / (1 + odds))
