"""What a set of pairs is made of, and a warning that it may be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlhf.dpo.estimate import Device


@dataclass(frozen=True)
class PairFacts:
    """What a set of pairs is made of."""

    identities: Mapping[str, int] = field(default_factory=dict)  # pairs of each identity
    simulated_pairs: int = 0  # pairs with any simulated vote
    human_votes: int = 0  # votes of people
    simulated_votes: int = 0  # votes of programs
    disqualified_votes: int = 0  # votes behind the pairs whose people were disqualified since
    annotators: Mapping[int, int] = field(default_factory=dict)  # votes of each person, by any key
    sided_votes: int = 0  # votes for one of the two sides
    left_votes: int = 0  # those for the left
    #: Of each track, the share of vote pairs that are equal; None where no pair has two votes.
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    chosen_smaller: int = 0  # pairs whose chosen file is smaller than the rejected one, a sign of less motion
    sized: int = 0  # pairs whose two files differ in size
    uneven: int = 0  # pairs whose videos differ in length or size of the picture
    from_others: int = 0  # pairs that another model than the policy made
    #: Pairs of each licence; "" where none is stated.
    licences: Mapping[str, int] = field(default_factory=dict)
    without_consent: int = 0  # people in the set who do not, or no longer, agree to training
    why_no_consent: str = ""  # who they are and what to do, in sentences; empty where there are none
    withheld: int = 0  # pairs that would be in the set, but show people who did not agree to training
    why_withheld: str = ""  # likewise
    unread: tuple[str, ...] = ()  # pairs whose prompts the model does not read whole, each with what is wrong
    #: Whether the videos are larger than the embedded world's, so that a large model made them.
    is_large: bool = False
    device: Device | None = None  # that the run will probably have; None where no run has said anything of it

    @property
    def num_pairs(self) -> int:
        """All pairs."""
        return sum(self.identities.values())


@dataclass(frozen=True)
class PreflightWarning:
    """One known warning that these pairs and settings are in."""

    name: str  # stable, for records
    message: str  # what is wrong, with the value
    remedy: str  # what to do
    blocks: bool = False  # whether the run must not start


def counted(number: int) -> str:
    """Pairs in words."""
    return f"{number} pair" if number == 1 else f"{number} pairs"
