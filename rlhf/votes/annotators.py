"""How each person votes on a track, and what a lead should look at.

A flag is a figure that chance hardly explains. It leads to a look at the person's votes and never to a ban:
somebody may be right against everybody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from statistics import median

from rlhf.records import CHOICES, SIDES, Verdict
from rlhf.votes.vote import Estimate, Vote, share

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


def report(votes: Sequence[Vote]) -> list[AnnotatorReport]:
    """Every person who voted on a track, by key. Colluding pairs are found by `rlhf.votes.collusion`.

    Args:
        votes: of one track, in the order in which they were given.
    """
    by_person: dict[int, list[Vote]] = {}
    for vote in votes:
        by_person.setdefault(vote.annotator, []).append(vote)
    agreements = agreements_with_others(votes)
    answers = {person: Counter(vote.answer for vote in mine) for person, mine in by_person.items()}
    everybody = sum(answers.values(), Counter[str]())
    reports = []
    for person, mine in sorted(by_person.items()):
        flags = [
            _gold_flag(person, gold_accuracy(mine)),
            _side_flag(person, left_share(mine)),
            _agreement_flag(person, agreements),
            _speed_flag(person, mine),
            _run_flag(person, mine, everybody - answers[person]),
        ]
        reports.append(
            AnnotatorReport(
                annotator=person,
                votes=len(mine),
                gold_accuracy=gold_accuracy(mine),
                left_share=left_share(mine),
                agreement=agreements[person],
                speed=speed(mine),
                longest_run=longest_run([vote.answer for vote in mine]),
                flags=tuple(_beyond_chance(flags, compared=len(by_person))),
            )
        )
    return reports


def gold_accuracy(votes: Iterable[Vote]) -> Estimate:
    """Share of a person's gold votes that were right, with a Wilson interval; an abstention is not right."""
    known = [vote for vote in votes if vote.gold is not None]
    return share(sum(vote.verdict is vote.gold for vote in known), len(known), what="gold votes")


def left_share(votes: Iterable[Vote]) -> Estimate:
    """Share of left among a person's answers that chose a side, with a Wilson interval."""
    sided = [vote.answer for vote in votes if vote.answer in SIDES]
    return share(sided.count("left"), len(sided), what="votes for a side")


def agreements_with_others(votes: Iterable[Vote]) -> dict[int, Estimate]:
    """How far each person says what the others say of the same pairs; abstentions are left aside.

    Each vote scores the share of the others' votes on its pair that are equal; the value is the mean score.
    The interval is Wilson's, as if each score were a whole hit or miss, so it is a little too wide.
    """
    on_pair: dict[int, Counter[Verdict]] = {}
    people: set[int] = set()
    given = list(votes)
    for vote in given:
        people.add(vote.annotator)
        if vote.verdict is not Verdict.UNSURE:
            on_pair.setdefault(vote.pair, Counter())[vote.verdict] += 1
    scores: dict[int, list[float]] = {person: [] for person in people}
    for vote in given:
        others = on_pair[vote.pair].total() - 1 if vote.verdict is not Verdict.UNSURE else 0
        if others:
            scores[vote.annotator].append((on_pair[vote.pair][vote.verdict] - 1) / others)
    what = "votes on pairs that others have judged"
    return {person: share(sum(mine), len(mine), what=what) for person, mine in scores.items()}


def speed(votes: Sequence[Vote]) -> Estimate:
    """Median active time of the last votes over that of all earlier ones, of one person in order.

    Returns:
        The ratio, without an interval; the flag rests on a rank test instead.
    """
    earlier, recent = _times(votes)
    if len(earlier) < RECENT_VOTES:
        missing = 2 * RECENT_VOTES - len(earlier) - len(recent)
        return Estimate.undefined(f"{missing} more timed votes are needed", len(earlier) + len(recent))
    ratio = median(recent) / median(earlier)
    return Estimate(ratio, None, None, len(earlier) + len(recent), "no interval because its flag has a test")


def longest_run(answers: Iterable[str]) -> int:
    """Length of the longest stretch of equal answers; 0 without answers."""
    return max((sum(1 for _ in run) for _, run in groupby(answers)), default=0)


def run_chance(length: int, answers: int, shares: Mapping[str, float]) -> float:
    """Upper bound of the probability that n independent answers show a run of length L.

        P <= sum_x p_x^L (1 + (n - L) (1 - p_x)),

    the expected number of places where L equal answers begin, after another one or at the start; p_x is the
    share of each answer.
    """
    starts = (p**length * (1 + (answers - length) * (1 - p)) for p in shares.values())
    return min(1.0, sum(starts))


def _times(votes: Sequence[Vote]) -> tuple[list[float], list[float]]:
    times = [vote.active_s for vote in votes if vote.active_s is not None]
    return times[:-RECENT_VOTES], times[-RECENT_VOTES:]


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


def _agreement_flag(person: int, agreements: Mapping[int, Estimate]) -> Flag | None:
    """Against the mean of everybody else."""
    mine = agreements[person]
    rest = [other for key, other in agreements.items() if key != person and other.value is not None]
    total = sum(other.count for other in rest)
    if mine.value is None or not total:
        return None
    expected = sum((other.value or 0.0) * other.count for other in rest) / total
    chance = _binomial(round(mine.value * mine.count), mine.count, expected, "less")
    reason = f"{mine.value:.0%} agreement with the others on {mine.count} pairs; they reach {expected:.0%}"
    return Flag(person, FlagKind.DISAGREES, mine.value, chance, reason)


def _speed_flag(person: int, votes: Sequence[Vote]) -> Flag | None:
    """Mann and Whitney's rank test of the recent times against the earlier ones."""
    ratio = speed(votes).value
    if ratio is None or ratio >= SPEED_EXPECTED:
        return None
    from scipy.stats import mannwhitneyu

    earlier, recent = _times(votes)
    chance = float(mannwhitneyu(recent, earlier, alternative="less").pvalue)
    reason = f"the last {len(recent)} votes took {ratio:.0%} of the time of the {len(earlier)} before"
    return Flag(person, FlagKind.FASTER, ratio, chance, reason)


def _run_flag(person: int, votes: Sequence[Vote], others: Counter[str]) -> Flag | None:
    """Against how often everybody else gives each answer, one imagined answer of each kind added."""
    if not others:
        return None
    total = others.total() + len(CHOICES)
    shares: dict[str, float] = {answer: (others[answer] + 1) / total for answer in CHOICES}
    length = longest_run(vote.answer for vote in votes)
    chance = run_chance(length, len(votes), shares)
    reason = f"gave the same answer {length} times in a row in {len(votes)} votes"
    return Flag(person, FlagKind.STRAIGHT_LINE, float(length), chance, reason)


def _binomial(successes: int, trials: int, expected: float, alternative: str) -> float:
    from scipy.stats import binomtest

    return float(binomtest(successes, trials, expected, alternative=alternative).pvalue)
