"""How a person's answer depends on the truth, and so what the truth of a pair is after some votes.

One coin a person (Zhang et al., "Spectral methods meet EM", JMLR 17, 2016, after Dawid and Skene 1979), with
two additions that pairs on a screen need: errors fall where people's errors do fall, and a side has a pull.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isclose
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from generator.validation import Number, Stored, record
from rlhf.records import EXPRESSED, Verdict
from rlhf.votes.columns import CODE
from rlhf.votes.vote import Vote

Floats = NDArray[np.float64]

#: Codes of expressed verdicts with the samples, or the sides, exchanged.
EXCHANGED = [CODE[verdict.exchanged] for verdict in EXPRESSED]
#: Pull of a left bias on each answer.
SIDE = np.array([{Verdict.FIRST: 0.5, Verdict.SECOND: -0.5}.get(verdict, 0.0) for verdict in EXPRESSED])

#: What is assumed of verdicts before there are votes; afterwards it weighs `vote_fit.PSEUDO_VOTES`.
PRIOR = (0.375, 0.375, 0.2, 0.05)
#: Rows are truths, columns answers: a person who misses a difference names the other sample or none.
ERRORS = (
    (0.00, 0.50, 0.40, 0.10),
    (0.50, 0.00, 0.40, 0.10),
    (0.45, 0.45, 0.00, 0.10),
    (0.30, 0.30, 0.40, 0.00),
)


class Annotator(NamedTuple):
    """One person on one track, with 95 % intervals."""

    skill: Number  # probability of the true answer where no side pulls, 0.25 (chance) to 1
    left_bias: Number  # log-odds by which left is favoured over right; 0 is none
    skill_interval: tuple[Number, Number]  # low, high
    left_bias_interval: tuple[Number, Number]  # low, high


#: Somebody of whom nothing is known: the prior of `vote_fit`, a Beta(6, 2) skill and a N(0, 1) bias.
PRIOR_ANNOTATOR = Annotator(0.75, 0.0, (0.42, 0.96), (-1.96, 1.96))


@record
class VoteModel(Stored):
    """All that is known of one track."""

    prior: tuple[Number, ...] = Field(default=PRIOR, description="(4,) share of pairs with each true verdict")
    errors: tuple[tuple[Number, ...], ...] = Field(
        default=ERRORS,
        description="(4, 4) where the errors of each truth (row) fall; rows sum to 1, the diagonal is 0",
    )
    annotators: dict[int, Annotator] = Field(
        default_factory=dict, description="by key; whoever is missing is a PRIOR_ANNOTATOR"
    )

    def annotator(self, key: int) -> Annotator:
        """What is known of a person."""
        return self.annotators.get(key, PRIOR_ANNOTATOR)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The inverse of `to_json`; what was fitted when there were other verdicts tells nothing."""
        return super().from_json(value) if len(value["prior"]) == len(EXPRESSED) else cls()


def answer_probabilities(skill: Floats, left_bias: Floats, errors: Floats) -> Floats:
    """What a person answers, for every truth, in terms of the screen.

        p(x | t) = w(x, t) / sum_y w(y, t),   w(x, t) = (s [x = t] + (1 - s) q(x | t)) exp(b side(x))

    with skill s, left bias b, errors q, and side = 1/2 for left, -1/2 for right, 0 otherwise, so that
    log p(left | t) / p(right | t) is that of an unbiased person plus b: a logit with one intercept a person.

    Args:
        skill: (...) in [0, 1].
        left_bias: (...) log-odds.
        errors: (4, 4) as in `VoteModel`; the same with the sides exchanged.

    Returns:
        (..., 4, 4): truths, then answers, each left, right, tie, both_bad; rows sum to 1.
    """
    right_or_wrong = skill[..., None, None] * np.eye(len(EXPRESSED)) + (1 - skill)[..., None, None] * errors
    weights = right_or_wrong * np.exp(left_bias[..., None, None] * SIDE)
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def by_sample(told: Floats) -> Floats:
    """What people say of the samples, for both ways in which these may be placed.

    Args:
        told: (A, 4, 4) truths, then answers, in terms of the screen, from `answer_probabilities`.

    Returns:
        (A, 2, 4, 4): people; the first sample on the right, then on the left; truths; verdicts.
    """
    return np.stack([told[:, EXCHANGED][:, :, EXCHANGED], told], axis=1)


def normalised(log: Floats) -> Floats:
    """Shares along the last axis from their logarithms, which may have any constant added."""
    shares = log - log.max(-1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(-1, keepdims=True)
    return shares


def log_truths(pair: NDArray[np.int64], own: Floats, prior: Floats) -> Floats:
    """(P, 4) log prior(t) + sum_i log p(x_i | t) of every pair, from the (V, 4) terms of the votes."""
    sums = [np.bincount(pair, own[:, code]) for code in range(len(EXPRESSED))]
    return np.log(prior) + np.column_stack(sums).astype(np.float64)


def truth_posterior(votes: Iterable[Vote], model: VoteModel) -> dict[Verdict, float]:
    """Probability of each true verdict of one pair on one track.

        p(t | votes) ~ prior(t) prod_i p(x_i | t; s_i, b_i)

    Abstentions carry no evidence; people answer independently, given the truth.

    Args:
        votes: of one pair on one track; none is allowed.
        model: of that track.

    Returns:
        Probabilities of `first`, `second`, `tie` and `both_bad`; they sum to 1.
    """
    errors = np.array(model.errors)
    log = np.log(model.prior)
    for vote in votes:
        if vote.verdict is Verdict.UNSURE:
            continue
        person = model.annotator(vote.annotator)
        told = answer_probabilities(np.array(person.skill), np.array(person.left_bias), errors)
        code = CODE[vote.verdict]
        log = log + np.log(told[:, code] if vote.first_on_left else told[EXCHANGED, EXCHANGED[code]])
    return dict(zip(EXPRESSED, normalised(log).tolist(), strict=True))


def likely_verdict(posterior: Mapping[Verdict, float]) -> Verdict | None:
    """The most probable verdict; None where two are equally probable."""
    highest = max(posterior.values())
    likely = [verdict for verdict, share in posterior.items() if isclose(share, highest)]
    return likely[0] if len(likely) == 1 else None
