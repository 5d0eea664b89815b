"""What a set of pairs is made of, and a warning that it may be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlhf.dpo.estimate import Device


@dataclass(frozen=True)
class PairFacts:
    """What a set of pairs is made of.

    Attributes:
        identities: pairs of each identity.
        simulated_pairs: pairs with any simulated vote.
        human_votes: votes of people.
        simulated_votes: votes of programs.
        disqualified_votes: votes behind the pairs whose people were disqualified since.
        annotators: votes of each person, by any key.
        sided_votes: votes for one of the two sides.
        left_votes: those for the left.
        agreement: of each track, the share of vote pairs that are equal; None where no pair has two votes.
        chosen_smaller: pairs whose chosen file is smaller than the rejected one, a sign of less motion.
        sized: pairs whose two files differ in size.
        uneven: pairs whose videos differ in length or size of the picture.
        from_others: pairs that another model than the policy made.
        licences: pairs of each licence; "" where none is stated.
        without_consent: people in the set who do not, or no longer, agree to training.
        why_no_consent: who they are and what to do, in sentences; empty where there are none.
        withheld: pairs that would be in the set, but show people who did not agree to training.
        why_withheld: likewise.
        unread: pairs whose prompts the model does not read whole, each with what is wrong.
        is_large: whether the videos are larger than the embedded world's, so that a large model made them.
        device: that the run will probably have; None where no run has said anything of it.
    """

    identities: Mapping[str, int] = field(default_factory=dict)
    simulated_pairs: int = 0
    human_votes: int = 0
    simulated_votes: int = 0
    disqualified_votes: int = 0
    annotators: Mapping[int, int] = field(default_factory=dict)
    sided_votes: int = 0
    left_votes: int = 0
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    chosen_smaller: int = 0
    sized: int = 0
    uneven: int = 0
    from_others: int = 0
    licences: Mapping[str, int] = field(default_factory=dict)
    without_consent: int = 0
    why_no_consent: str = ""
    withheld: int = 0
    why_withheld: str = ""
    unread: tuple[str, ...] = ()
    is_large: bool = False
    device: Device | None = None

    @property
    def num_pairs(self) -> int:
        """All pairs."""
        return sum(self.identities.values())


@dataclass(frozen=True)
class PreflightWarning:
    """One known warning that these pairs and settings are in.

    Attributes:
        name: stable, for records.
        message: what is wrong, with the value.
        remedy: what to do.
        blocks: whether the run must not start.
    """

    name: str
    message: str
    remedy: str
    blocks: bool = False


def counted(number: int) -> str:
    """Pairs in words."""
    return f"{number} pair" if number == 1 else f"{number} pairs"
