"""Plain records of preference: tracks, verdicts, consensus and the Pareto result.

Everything here loads with neither torch nor Django, so the web may read it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Track(StrEnum):
    """The two questions about a pair, judged by different people on different evidence."""

    IDENTITY = "identity"
    CONTROLLABILITY = "controllability"


class Verdict(StrEnum):
    """What one person, or the consensus of several, says about a pair on one track."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    UNSURE = "unsure"


class JointState(StrEnum):
    """What both tracks together say about a pair."""

    DOMINANT = "dominant"
    CONFLICTING = "conflicting"
    TIED = "tied"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


#: The verdicts that say something about the pair; `unsure` is an abstention.
EXPRESSED = (Verdict.FIRST, Verdict.SECOND, Verdict.TIE, Verdict.BOTH_BAD)


@dataclass(frozen=True)
class Consensus:
    """The verdict of one track.

    Attributes:
        verdict: None while votes are missing; `unsure` when too many people abstained.
        counts: votes per verdict, all five present.
        posterior: of the four expressed verdicts; sums to 1. By majority, the expected share of people who
            would give each; weighed, the probability that each is the true one.
        wanted: votes asked for.
        rule_version: the rule that made the verdict.
        inputs_hash: sha256 (hex) of the votes, the wanted number and the rule version.
    """

    verdict: Verdict | None
    counts: Mapping[Verdict, int]
    posterior: Mapping[Verdict, float]
    wanted: int
    rule_version: str
    inputs_hash: str

    @property
    def num_votes(self) -> int:
        """Votes given, abstentions included."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class JointResult:
    """The Pareto result of a pair.

    Attributes:
        state: joint state of the two tracks.
        chosen: the sample that is strictly better on both tracks; None unless `dominant`.
        reason: one English line that says why the pair is in this state.
    """

    state: JointState
    chosen: Literal["first", "second"] | None
    reason: str
