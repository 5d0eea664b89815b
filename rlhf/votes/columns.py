"""Votes of a track as arrays: for many of them, an object per vote would cost more than the maths."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf.records import EXPRESSED, Verdict
from rlhf.votes.vote import Vote

#: Every verdict by its code. Those that say something of the pair come first: their codes are their places
#: in every axis of length 4, where on the screen first is left and second is right.
VERDICT_OF_CODE = (*EXPRESSED, *(verdict for verdict in Verdict if verdict not in EXPRESSED))
CODE: Mapping[Verdict, int] = {verdict: code for code, verdict in enumerate(VERDICT_OF_CODE)}
#: Codes of the same verdicts with the samples, or the sides, exchanged.
EXCHANGED_CODE = np.array([CODE[verdict.exchanged] for verdict in VERDICT_OF_CODE], dtype=np.int8)
#: Stands for the answer of a pair whose answer nobody knows.
NO_GOLD = -1


@dataclass(frozen=True)
class VoteColumns:
    """V votes of one track, in the order in which they were given; of several revisions the last.

    Raises:
        ValueError: `gold` is an abstention.
    """

    pair: NDArray[np.int64]  # (V,) keys of pairs
    annotator: NDArray[np.int64]  # (V,) keys of people
    verdict: NDArray[np.int8]  # (V,) codes, in terms of the samples
    first_on_left: NDArray[np.bool_]  # (V,) whether the first sample was shown on the left
    active_s: NDArray[np.float64]  # (V,) seconds of active looking; NaN where they were not recorded
    gold: NDArray[np.int8]  # (V,) codes of known answers; NO_GOLD elsewhere

    def __post_init__(self) -> None:
        """Refuse an answer that nobody can know."""
        if (unknown := self.gold >= len(EXPRESSED)).any():
            pair, verdict = self.pair[unknown][0], VERDICT_OF_CODE[self.gold[unknown][0]]
            raise ValueError(f"the known answer of gold pair {pair} is {verdict}; give an expressed verdict")

    def __len__(self) -> int:
        return len(self.pair)

    def __getitem__(self, which: Any) -> VoteColumns:
        """Some of the votes: those of a mask, of indices or of a slice."""
        return VoteColumns(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @property
    def expressed(self) -> VoteColumns:
        """Without abstentions."""
        return self[self.verdict < len(EXPRESSED)]

    def without(self, people: Collection[int]) -> VoteColumns:
        """Without the votes of some people."""
        return self[~np.isin(self.annotator, list(people))]

    @property
    def answer(self) -> NDArray[np.int8]:
        """(V,) codes of what people saw themselves choose: the first verdict is left, the second right."""
        return np.where(self.first_on_left, self.verdict, EXCHANGED_CODE[self.verdict])


def columns_of(votes: Sequence[Vote]) -> VoteColumns:
    """The same votes as arrays.

    Raises:
        ValueError: votes of several tracks.
    """
    if len({vote.track for vote in votes}) > 1:
        raise ValueError("votes of several tracks: look at each track by itself")
    return VoteColumns(
        pair=np.array([vote.pair for vote in votes], dtype=np.int64),
        annotator=np.array([vote.annotator for vote in votes], dtype=np.int64),
        verdict=np.array([CODE[vote.verdict] for vote in votes], dtype=np.int8),
        first_on_left=np.array([vote.first_on_left for vote in votes], dtype=np.bool_),
        active_s=np.array([vote.active_s for vote in votes], dtype=np.float64),  # None becomes NaN
        gold=np.array([NO_GOLD if vote.gold is None else CODE[vote.gold] for vote in votes], dtype=np.int8),
    )
