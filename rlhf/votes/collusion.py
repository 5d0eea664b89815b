"""Two people who agree more than each one's agreement with the rest predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf.votes.annotators import FALSE_ALARMS, Flag, FlagKind
from rlhf.votes.columns import VoteColumns
from rlhf.votes.model import Floats, VoteModel, answer_probabilities, by_sample, log_truths, normalised

#: Fewer pairs judged by both say nothing.
SHARED_PAIRS = 15
#: Meetings of two people that are computed at once; more would only take memory.
BLOCK = 20_000


def colluding(votes: VoteColumns, model: VoteModel) -> list[Flag]:
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
    met = _meetings(votes.expressed, model)
    begins, numbers = _stretches(met)
    tested = numbers >= SHARED_PAIRS
    if not tested.any():
        return []
    from scipy.stats import poisson_binom

    shift = _shift(met.expected, int(met.agreed.sum()))
    flags = []
    for begin, number in zip(begins[tested].tolist(), numbers[tested].tolist(), strict=True):
        likely = _shifted(met.expected[begin : begin + number], shift)
        seen, mean = int(met.agreed[begin : begin + number].sum()), likely.sum()
        if seen <= mean:
            continue  # The median is less than 1 from the mean: chance gives as many half of the time.
        chance = min(1.0, int(tested.sum()) * float(poisson_binom.sf(seen - 1, likely)))
        if chance < FALSE_ALARMS:
            reason = f"agree on {seen} of {number} pairs that both judged; {mean:.0f} are expected"
            first, second = int(met.first[begin]), int(met.second[begin])
            flags.append(Flag(first, FlagKind.COLLUSION, seen / number, chance, reason, partner=second))
    return sorted(flags, key=lambda flag: flag.chance)


@dataclass(frozen=True)
class _Meetings:
    """Two people who judged the same pair, once for each pair: M meetings, sorted by the two people."""

    first: NDArray[np.int64]  # (M,) key of the person, the smaller one
    second: NDArray[np.int64]  # (M,) key of the other person
    expected: Floats  # (M,) how likely they were to agree
    agreed: NDArray[np.bool_]  # (M,) whether they did


def _meetings(votes: VoteColumns, model: VoteModel) -> _Meetings:
    votes = votes[np.lexsort((votes.annotator, votes.pair))]
    first, second = _two_on_a_pair(votes.pair)
    by_people = np.lexsort((votes.annotator[second], votes.annotator[first]))
    first, second = first[by_people], second[by_people]
    return _Meetings(
        first=votes.annotator[first],
        second=votes.annotator[second],
        expected=_expected(votes, model, first, second),
        agreed=votes.verdict[first] == votes.verdict[second],
    )


def _two_on_a_pair(pair: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of every two votes on the same pair, where the (V,) pairs of votes are in order."""
    firsts: list[NDArray[np.intp]] = [np.zeros(0, dtype=np.intp)]
    seconds = firsts.copy()
    for apart in range(1, len(pair)):
        first = np.flatnonzero(pair[:-apart] == pair[apart:])
        if not len(first):
            break
        firsts.append(first)
        seconds.append(first + apart)
    return np.concatenate(firsts), np.concatenate(seconds)


def _expected(
    votes: VoteColumns, model: VoteModel, first: NDArray[np.intp], second: NDArray[np.intp]
) -> Floats:
    """(M,) probability that the votes `first` and `second` are equal, given the others on their pair."""
    people, person = np.unique(votes.annotator, return_inverse=True)
    known = [model.annotator(key) for key in people.tolist()]
    skill, bias = (np.array([getattr(p, name) for p in known]) for name in ("skill", "left_bias"))
    told = by_sample(answer_probabilities(skill, bias, np.array(model.errors)))
    placed = votes.first_on_left.astype(np.int64)
    own = np.log(told[person, placed, :, votes.verdict])
    _, pair = np.unique(votes.pair, return_inverse=True)
    of_all = log_truths(pair, own, np.array(model.prior))
    expected = np.empty(len(first))
    for begin in range(0, len(first), BLOCK):
        a, b = first[begin : begin + BLOCK], second[begin : begin + BLOCK]
        truth = normalised(of_all[pair[a]] - own[a] - own[b])
        both = np.einsum("mtx,mtx->mt", told[person[a], placed[a]], told[person[b], placed[b]])
        expected[begin : begin + BLOCK] = (truth * both).sum(1)
    return expected


def _stretches(met: _Meetings) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the meetings of the same two people begin, and how many they are."""
    if not len(met.first):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    is_new = (np.diff(met.first) != 0) | (np.diff(met.second) != 0)
    begins = np.flatnonzero(np.append(True, is_new))
    return begins, np.diff(begins, append=len(met.first))


def _shift(expected: Floats, seen: int) -> float:
    """The constant that makes the expected number of agreements the seen one."""
    from scipy.optimize import brentq

    if not 0 < seen < len(expected):
        return 0.0
    return float(brentq(lambda shift: _shifted(expected, shift).sum() - seen, -20.0, 20.0))


def _shifted(shares: Floats, shift: float) -> Floats:
    odds = shares / (1 - shares) * np.exp(shift)
    return np.asarray(odds / (1 + odds))
