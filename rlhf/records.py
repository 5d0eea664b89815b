"""Plain records of preference: tracks, verdicts, consensus and the Pareto result.

Everything here loads with neither torch nor Django, so the web may read it too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Sample = Literal["first", "second"]


class Track(StrEnum):
    """The two questions about a pair, judged by different people on different evidence."""

    IDENTITY = "identity"
    CONTROLLABILITY = "controllability"

    @property
    def label(self) -> str:
        """As a heading."""
        return self.capitalize()


class JointState(StrEnum):
    """What both tracks together say about a pair, see `rlhf.votes.pareto.joint_state`."""

    DOMINANT = "dominant"
    CONFLICTING = "conflicting"
    TIED = "tied"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


class Verdict(StrEnum):
    """What one person, or the consensus of several, says about a pair on one track.

    Everything else about a verdict is in `VERDICTS`.
    """

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    UNSURE = "unsure"

    @property
    def data(self) -> VerdictData:
        """What the program knows of it."""
        return VERDICTS[self]

    @property
    def label(self) -> str:
        """On pages that name the samples."""
        return self.replace("_", " ")

    @property
    def exchanged(self) -> Verdict:
        """The same verdict with the samples, or the sides, exchanged."""
        return {Verdict.FIRST: Verdict.SECOND, Verdict.SECOND: Verdict.FIRST}.get(self, self)


@dataclass(frozen=True)
class VerdictData:
    """What pages, API, statistics and explanations read of a verdict."""

    choice: str  # code of the answer on a screen that shows the first sample on the left
    key: str  # usual key for that answer
    words: str  # the answer in a few words, as part of a sentence
    hint: str  # the answer in a word or two, after its key
    score: float | None  # wins of the first sample that it counts as, 0 to 1; None where it abstains
    #: What a track with this verdict found; may name the `count` of its votes, the `total`, the votes for
    #: `first` and `second`, and the `others`.
    cause: str
    vote: tuple[str, str] = ("", "")  # one vote for it, and several; empty where it favours a sample


#: In the order in which verdicts are listed.
VERDICTS: Mapping[Verdict, VerdictData] = {
    Verdict.FIRST: VerdictData(
        "left", "1", "left is better", "left", 1.0, "favours first {first}-{second}{others}"
    ),
    Verdict.SECOND: VerdictData(
        "right", "2", "right is better", "right", 0.0, "favours second {second}-{first}{others}"
    ),
    Verdict.TIE: VerdictData(
        "tie", "3", "about the same", "tie", 0.5, "tied {first}-{second}{others}", ("tie", "ties")
    ),
    Verdict.BOTH_BAD: VerdictData(
        "both_bad",
        "4",
        "both bad",
        "both bad",
        0.5,
        "found both bad ({count} of {total} votes)",
        ("both-bad vote", "both-bad votes"),
    ),
    Verdict.UNSURE: VerdictData(
        "unsure",
        "0",
        "cannot judge",
        "cannot judge",
        None,
        "could not be judged ({count} of {total} abstained)",
        ("abstention", "abstentions"),
    ),
}
#: The verdicts that favour a sample.
FAVOURED: Mapping[Verdict, Sample] = {Verdict.FIRST: "first", Verdict.SECOND: "second"}
#: What one track's verdict makes of a pair, whatever the other track says; the first that applies counts.
SETTLES: Mapping[Verdict, JointState] = {
    Verdict.BOTH_BAD: JointState.REJECTED,
    Verdict.UNSURE: JointState.UNDECIDED,
    Verdict.TIE: JointState.TIED,
}
#: The verdicts that say something about the pair; the others abstain.
EXPRESSED = tuple(verdict for verdict, data in VERDICTS.items() if data.score is not None)
#: What a person may answer on the screen, and the answers that take a side.
CHOICES: Mapping[str, Verdict] = {data.choice: verdict for verdict, data in VERDICTS.items()}
SIDES = tuple(verdict.data.choice for verdict in FAVOURED)


def verdict_of(
    choice: str, *, first_on_left: bool, name: str = "choice", among: Collection[str] = tuple(CHOICES)
) -> Verdict:
    """What an answer on the screen says about the pair; a side alone names the sample that is shown there.

    Args:
        choice: one of `among`.
        first_on_left: whether the first sample is shown on the left.
        name: of the field, for the error.
        among: the answers that are offered.

    Raises:
        ValueError: an unknown answer.
    """
    if choice not in among:
        raise ValueError(f"{name} is {choice!r}; it must be one of: {', '.join(among)}")
    said = CHOICES[choice]
    return said if first_on_left else said.exchanged


def choice_of(verdict: str, *, first_on_left: bool) -> str:
    """The answer on the screen that says this about the pair: the inverse of `verdict_of`."""
    said = Verdict(verdict)
    return (said if first_on_left else said.exchanged).data.choice


@dataclass(frozen=True)
class Consensus:
    """The verdict of one track."""

    verdict: Verdict | None  # None while votes are missing; `unsure` when too many people abstained
    counts: Mapping[Verdict, int]  # votes per verdict, all five present
    #: Of the four expressed verdicts; sums to 1. By majority, the expected share of people who would give
    #: each; weighed, the probability that each is the true one.
    posterior: Mapping[Verdict, float]
    wanted: int  # votes asked for
    rule_version: str  # the rule that made the verdict
    inputs_hash: str  # sha256 (hex) of the votes, the wanted number and the rule version

    @property
    def num_votes(self) -> int:
        """Votes given, abstentions included."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class JointResult:
    """The Pareto result of a pair."""

    state: JointState  # joint state of the two tracks
    chosen: Sample | None  # the sample that is strictly better on both tracks; None unless `dominant`
    reason: str  # one English line that says why the pair is in this state
