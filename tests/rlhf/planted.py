"""Votes of people whose skill and left bias are known, on pairs whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlhf.records import EXPRESSED, Track, Verdict
from rlhf.votes.model import ERRORS, EXCHANGED, answer_probabilities
from rlhf.votes.vote import Vote

FIRST, SECOND = Verdict.FIRST, Verdict.SECOND
TIE, BOTH_BAD, UNSURE = Verdict.TIE, Verdict.BOTH_BAD, Verdict.UNSURE


def vote(verdict, *, pair=0, annotator=0, first_on_left=True, track=Track.IDENTITY, **more) -> Vote:
    return Vote(pair, track, annotator, verdict, first_on_left, **more)


def planted(
    people: Sequence[tuple[float, float]],
    *,
    pairs: int,
    votes_per_pair: int = 3,
    prior: Sequence[float] = (0.375, 0.375, 0.2, 0.05),
    seed: int = 0,
) -> tuple[list[Vote], list[Verdict]]:
    """Votes by (skill, left bias) people, drawn from the model itself, and the truth of each pair."""
    rng = np.random.default_rng(seed)
    skills, biases = np.array(people, dtype=float).T
    told = answer_probabilities(skills, biases, np.array(ERRORS))
    votes, truths = [], []
    for pair in range(pairs):
        truth = int(rng.choice(4, p=prior))
        truths.append(EXPRESSED[truth])
        for person in rng.choice(len(people), votes_per_pair, replace=False):
            first_on_left = bool(rng.random() < 0.5)
            shown = truth if first_on_left else EXCHANGED[truth]
            answer = int(rng.choice(4, p=told[person, shown]))
            code = answer if first_on_left else EXCHANGED[answer]
            votes.append(vote(EXPRESSED[code], pair=pair, annotator=int(person), first_on_left=first_on_left))
    return votes, truths


def by_pair(votes: Sequence[Vote]) -> dict[int, list[Vote]]:
    found: dict[int, list[Vote]] = {}
    for given in votes:
        found.setdefault(given.pair, []).append(given)
    return found
