"""How each person votes on a track, and what a lead should look at.

A flag is a figure that chance hardly explains. It leads to a review of the person's votes and never to a ban:
somebody may be right against everybody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED, FAVOURED
from rlhf.votes.columns import CODE, NO_GOLD, VoteColumns
from rlhf.votes.model import Floats
from rlhf.votes.vote import Estimate, share

#: Over all people, one kind of flag is raised by chance alone in at most this share of panels (Bonferroni).
FALSE_ALARMS = 0.05
#: Gold pairs are made to be clear, so whoever is below this is looked at.
GOLD_EXPECTED = 0.7
#: The last votes that speed is read from, and how many there must be before them.
RECENT_VOTES = 30
#: A person is looked at when their recent votes take less than this share of their own earlier time.
SPEED_EXPECTED = 0.5


class FlagKind(StrEnum):
    """What was noticed."""

    GOLD = "gold"
    SIDE = "side"
    DISAGREES = "disagrees"
    FASTER = "faster"
    STRAIGHT_LINE = "straight_line"
    COLLUSION = "collusion"


@dataclass(frozen=True)
class Flag:
    """One reason to look at somebody's votes."""

    annotator: int  # the person
    kind: FlagKind  # what was noticed
    figure: float  # the statistic itself; its meaning is in the reason
    chance: float  # probability of a figure as far out, if nothing were the matter, times the people compared
    reason: str  # one English line with the figure
    partner: int | None = None  # the other person, for collusion


@dataclass(frozen=True)
class AnnotatorReport:
    """One person on one track."""

    annotator: int  # the person
    votes: int  # given, abstentions included
    gold_accuracy: Estimate  # share of gold pairs answered rightly
    left_share: Estimate  # share of left among answers that chose a side; sides are balanced, so 1/2 is none
    agreement: Estimate  # share of the others' votes on the same pairs that were the same
    speed: Estimate  # median active time of recent votes over that of the earlier ones; below 1 is faster
    longest_run: int  # most equal answers one after the other
    flags: tuple[Flag, ...]  # what to look at; empty for nearly everybody


def report(votes: VoteColumns) -> list[AnnotatorReport]:
    """Every person who voted on a track, by key. Colluding pairs are found by `rlhf.votes.collusion`."""
    votes = votes[np.argsort(votes.annotator, kind="stable")]
    people, begins, counts = np.unique(votes.annotator, return_index=True, return_counts=True)
    agreements = agreements_with_others(votes)
    rest = _Rest.of(agreements)
    answers = _answer_counts(votes.answer)
    reports = []
    for person, begin, count in zip(people.tolist(), begins.tolist(), counts.tolist(), strict=True):
        mine = votes[begin : begin + count]
        gold, left, run = gold_accuracy(mine), left_share(mine), longest_run(mine.answer)
        flags = [
            _gold_flag(person, gold),
            _side_flag(person, left),
            _agreement_flag(person, agreements[person], rest),
            _speed_flag(person, mine),
            _run_flag(person, run, count, answers - _answer_counts(mine.answer)),
        ]
        reports.append(
            AnnotatorReport(
                annotator=person,
                votes=count,
                gold_accuracy=gold,
                left_share=left,
                agreement=agreements[person],
                speed=speed(mine),
                longest_run=run,
                flags=tuple(_beyond_chance(flags, compared=len(people))),
            )
        )
    return reports


def gold_accuracy(votes: VoteColumns) -> Estimate:
    """Share of a person's gold votes that were right, with a Wilson interval; an abstention is not right."""
    known = votes.gold != NO_GOLD
    right = int((votes.verdict == votes.gold).sum())
    return share(right, int(known.sum()), what="gold votes")


def left_share(votes: VoteColumns) -> Estimate:
    """Share of left among a person's answers that chose a side, with a Wilson interval."""
    left, right = (int((votes.answer == CODE[verdict]).sum()) for verdict in FAVOURED)
    return share(left, left + right, what="votes for a side")


def agreements_with_others(votes: VoteColumns) -> dict[int, Estimate]:
    """How far each person says what the others say of the same pairs; abstentions are left aside.

    Each vote scores the share of the others' votes on its pair that are equal; the value is the mean score.
    The interval is Wilson's, as if each score were a whole hit or miss, so it is a little too wide.
    """
    people = np.unique(votes.annotator)
    expressed = votes.expressed
    pairs, pair = np.unique(expressed.pair, return_inverse=True)
    cell = pair * len(EXPRESSED) + expressed.verdict
    equal = np.bincount(cell)[cell] - 1
    others = np.bincount(pair)[pair] - 1
    met = others > 0
    person = np.searchsorted(people, expressed.annotator[met])
    scores = np.bincount(person, equal[met] / others[met], minlength=len(people)).tolist()
    counts = np.bincount(person, minlength=len(people)).tolist()
    what = "votes on pairs that others have judged"
    return {
        key: share(score, count, what=what)
        for key, score, count in zip(people.tolist(), scores, counts, strict=True)
    }


def speed(votes: VoteColumns) -> Estimate:
    """Median active time of the last votes over that of all earlier ones, of one person in order.

    Returns:
        The ratio, without an interval; the flag rests on a rank test instead.
    """
    earlier, recent = _times(votes)
    if len(earlier) < RECENT_VOTES:
        missing = 2 * RECENT_VOTES - len(earlier) - len(recent)
        return Estimate.undefined(f"{missing} more timed votes are needed", len(earlier) + len(recent))
    ratio = float(np.median(recent) / np.median(earlier))
    return Estimate(ratio, None, None, len(earlier) + len(recent), "no interval because its flag has a test")


def longest_run(answers: NDArray[np.int8]) -> int:
    """Length of the longest stretch of equal answers, given their codes; 0 without answers."""
    if not len(answers):
        return 0
    ends = np.flatnonzero(np.diff(answers)) + 1
    return int(np.diff(ends, prepend=0, append=len(answers)).max())


def run_chance(length: int, answers: int, shares: Iterable[float]) -> float:
    """Upper bound of the probability that n independent answers show a run of length L.

        P <= sum_x p_x^L (1 + (n - L) (1 - p_x)),

    the expected number of places where L equal answers begin, after another one or at the start; p_x is the
    share of each answer.
    """
    starts = (p**length * (1 + (answers - length) * (1 - p)) for p in shares)
    return min(1.0, sum(starts))


def _times(votes: VoteColumns) -> tuple[Floats, Floats]:
    times = votes.active_s[~np.isnan(votes.active_s)]
    return times[:-RECENT_VOTES], times[-RECENT_VOTES:]


def _answer_counts(answers: NDArray[np.int8]) -> NDArray[np.int64]:
    """(5,) how often each answer was given."""
    return np.bincount(answers, minlength=len(CODE))


@dataclass(frozen=True)
class _Rest:
    """Scores of agreement of everybody, from which one person's are taken away."""

    score: float
    count: int

    @classmethod
    def of(cls, agreements: Mapping[int, Estimate]) -> _Rest:
        known = [estimate for estimate in agreements.values() if estimate.value is not None]
        return cls(sum((e.value or 0.0) * e.count for e in known), sum(e.count for e in known))

    def expected(self, mine: Estimate) -> float | None:
        """The mean of everybody else; None where there is nobody."""
        count = self.count - mine.count
        return (self.score - (mine.value or 0.0) * mine.count) / count if count else None


def _beyond_chance(flags: Iterable[Flag | None], *, compared: int) -> list[Flag]:
    """Those that chance explains in fewer than `FALSE_ALARMS` of panels with as many people."""
    scaled = [replace(flag, chance=min(1.0, flag.chance * compared)) for flag in flags if flag is not None]
    return [flag for flag in scaled if flag.chance < FALSE_ALARMS]


def _gold_flag(person: int, accuracy: Estimate) -> Flag | None:
    if accuracy.value is None:
        return None
    right = round(accuracy.value * accuracy.count)
    chance = _binomial(right, accuracy.count, GOLD_EXPECTED, "less")
    reason = f"{right} of {accuracy.count} gold pairs right; {GOLD_EXPECTED:.0%} are expected"
    return Flag(person, FlagKind.GOLD, accuracy.value, chance, reason)


def _side_flag(person: int, left: Estimate) -> Flag | None:
    if left.value is None:
        return None
    chance = _binomial(round(left.value * left.count), left.count, 0.5, "two-sided")
    side = "left" if left.value > 0.5 else "right"
    reason = f"picks {side} in {max(left.value, 1 - left.value):.0%} of {left.count} choices of a side"
    return Flag(person, FlagKind.SIDE, left.value, chance, reason)


def _agreement_flag(person: int, mine: Estimate, rest: _Rest) -> Flag | None:
    """Against the mean of everybody else."""
    expected = rest.expected(mine)
    if mine.value is None or expected is None:
        return None
    chance = _binomial(round(mine.value * mine.count), mine.count, expected, "less")
    reason = f"{mine.value:.0%} agreement with the others on {mine.count} pairs; they reach {expected:.0%}"
    return Flag(person, FlagKind.DISAGREES, mine.value, chance, reason)


def _speed_flag(person: int, votes: VoteColumns) -> Flag | None:
    """Mann and Whitney's rank test of the recent times against the earlier ones."""
    ratio = speed(votes).value
    if ratio is None or ratio >= SPEED_EXPECTED:
        return None
    from scipy.stats import mannwhitneyu

    earlier, recent = _times(votes)
    chance = float(mannwhitneyu(recent, earlier, alternative="less").pvalue)
    reason = f"the last {len(recent)} votes took {ratio:.0%} of the time of the {len(earlier)} before"
    return Flag(person, FlagKind.FASTER, ratio, chance, reason)


def _run_flag(person: int, length: int, votes: int, others: NDArray[np.int64]) -> Flag | None:
    """Against how often everybody else gives each answer, one imagined answer of each kind added."""
    if not others.sum():
        return None
    shares = (others + 1) / (others + 1).sum()
    chance = run_chance(length, votes, shares.tolist())
    reason = f"gave the same answer {length} times in a row in {votes} votes"
    return Flag(person, FlagKind.STRAIGHT_LINE, float(length), chance, reason)


def _binomial(successes: int, trials: int, expected: float, alternative: str) -> float:
    from scipy.stats import binomtest

    return float(binomtest(successes, trials, expected, alternative=alternative).pvalue)
