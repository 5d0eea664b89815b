"""How strong each of several models is, from people's choices between two of them at a time.

Davidson's model of paired comparisons with ties: with strengths pi_i > 0 and one parameter nu >= 0 of ties,

    P(i beats j) = pi_i / D,   P(tie) = nu sqrt(pi_i pi_j) / D,   D = pi_i + pi_j + nu sqrt(pi_i pi_j).

Source: Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments", JASA 65 (1970); without ties it is Bradley and Terry's model (Biometrika 39, 1952).

In b = (log pi, log nu) it is a multinomial logit, whose log-likelihood is concave. A pair of videos is one
observation, however many people judged it: each of its k votes weighs 1/k, since they look at the same two
videos. Intervals are by profile likelihood: all values v of a parameter with

    2 (max l - max {l(b): parameter = v}) <= chi-square quantile with one degree of freedom.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used: the web reads this file with every start
from numpy.typing import NDArray

from rlhf.records import VERDICTS, Verdict
from rlhf.votes.vote import COVERAGE, Estimate, share

Floats = NDArray[np.float64]

#: What a vote gives the first model: ties, and two videos that are both bad, are half a win each.
SCORES = {verdict: data.score for verdict, data in VERDICTS.items() if data.score is not None}
_TIE = 2
_OUTCOMES = {verdict: {1.0: 0, 0.0: 1}.get(score, _TIE) for verdict, score in SCORES.items()}
#: A gain of the linear programme, whose directions are of size 1, that is none but for rounding.
_FLAT = 1e-4
#: Of Newton's method; each moves a parameter by 1 at most.
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class Comparison:
    """What one person said of one pair of videos by two models.

    Raises:
        ValueError: both videos are by the same model.
    """

    pair: int  # key of the pair; the votes of a pair are no independent observations
    first: str  # name of the model of the first video
    second: str  # name of the other model
    verdict: Verdict  # in terms of the two; `unsure` counts nowhere

    def __post_init__(self) -> None:
        """Refuse a model against itself."""
        if self.first == self.second:
            raise ValueError(
                f"pair {self.pair} compares {self.first!r} with itself; give videos of two models"
            )


@dataclass(frozen=True)
class Strengths:
    """Maximum-likelihood estimates of Davidson's model."""

    #: log pi of each model, in natural logarithms with mean 0; the difference of two is the log odds of the
    #: one against the other where nobody says tie. Counted over its pairs.
    models: dict[str, Estimate]
    ties: Estimate  # nu; 0 where nothing was a tie. Counted over all pairs.


def win_rate(comparisons: Sequence[Comparison], model: str) -> Estimate:
    """The share of pairs that a model wins, ties half, with Wilson's interval.

    A pair counts once, as the mean of its votes. Its variance is at most that of a win or a loss, so the
    interval covers at least what it says.

    Args:
        comparisons: votes; those between other models are left out.
        model: whose share.
    """
    scores: dict[int, list[float]] = defaultdict(list)
    for vote in comparisons:
        if vote.verdict in SCORES and model in (vote.first, vote.second):
            score = SCORES[vote.verdict]
            scores[vote.pair].append(score if model == vote.first else 1 - score)
    won = sum(sum(given) / len(given) for given in scores.values())
    return share(won, len(scores), what="pairs with a vote")


def strengths(comparisons: Sequence[Comparison]) -> Strengths:
    """Fit Davidson's model.

    Args:
        comparisons: votes between any number of models.

    Returns:
        Every figure undefined, with one reason, where the likelihood has no maximum.
    """
    said = [vote for vote in comparisons if vote.verdict in SCORES]
    names = sorted({name for vote in comparisons for name in (vote.first, vote.second)})
    pairs_of = Counter(name for pair in {(v.pair, v.first, v.second) for v in said} for name in set(pair[1:]))
    num_pairs = len({vote.pair for vote in said})
    if not said:
        reason = "there are no votes"
    else:
        likelihood = _Likelihood.of(said, names)
        reason = likelihood.why_unbounded()
    if reason:
        strengths = {name: Estimate.undefined(reason, pairs_of[name]) for name in names}
        return Strengths(strengths, Estimate.undefined(reason, num_pairs))
    best = likelihood.maximum(np.zeros(likelihood.size), np.eye(likelihood.size))[1]
    models = {
        name: _estimate(likelihood, best, likelihood.centre[row], pairs_of[name])
        for row, name in enumerate(names)
    }
    if not likelihood.has_ties:
        return Strengths(
            models, Estimate(0.0, None, None, num_pairs, "no interval because nothing was a tie")
        )
    log_nu = _estimate(likelihood, best, np.eye(likelihood.size)[-1], num_pairs)
    assert log_nu.value is not None and log_nu.low is not None and log_nu.high is not None
    value, low, high = np.exp([log_nu.value, log_nu.low, log_nu.high]).tolist()
    return Strengths(models, Estimate(value, low, high, num_pairs))


@dataclass(frozen=True)
class _Likelihood:
    """The log-likelihood of free parameters: coordinates of centred log pi, then log nu if there are ties."""

    names: list[str]  # the models
    features: Floats  # (matches, outcomes, free parameters); an outcome's logit is features @ parameters
    counts: Floats  # (matches, outcomes) weights: the first wins, the second wins, tie
    centre: Floats  # (models, free parameters); log pi is centre @ parameters and sums to 0

    @property
    def size(self) -> int:
        return self.features.shape[-1]

    @property
    def has_ties(self) -> bool:
        return self.counts.shape[1] > _TIE

    @classmethod
    def of(cls, said: Sequence[Comparison], names: list[str]) -> _Likelihood:
        """Sum the votes up by match; a match is two models that met."""
        votes_of = Counter(vote.pair for vote in said)
        outcomes: dict[tuple[int, int], Floats] = defaultdict(lambda: np.zeros(_TIE + 1))
        for vote in said:
            first, second = names.index(vote.first), names.index(vote.second)
            outcome = _OUTCOMES[vote.verdict]
            if first > second:
                first, second, outcome = second, first, (1, 0, _TIE)[outcome]
            outcomes[first, second][outcome] += 1 / votes_of[vote.pair]
        counts = np.array(list(outcomes.values()))
        # Without a tie the likelihood is greatest at nu = 0, where ties are no outcome at all.
        num_outcomes = _TIE + 1 if counts[:, _TIE].any() else _TIE
        basis = scipy.linalg.null_space(np.ones((1, len(names))))
        centre = np.pad(basis, ((0, 0), (0, num_outcomes - _TIE)))
        first, second = np.array(list(outcomes)).T
        logits = [centre[first], centre[second]]
        if num_outcomes > _TIE:
            logits.append((centre[first] + centre[second]) / 2 + np.eye(centre.shape[1])[-1])
        return cls(names, np.stack(logits, axis=1), counts[:, :num_outcomes], centre)

    def maximum(self, origin: Floats, basis: Floats) -> tuple[float, Floats]:
        """The greatest log-likelihood on the plane origin + basis @ u, and its parameters.

        Args:
            origin: (free parameters).
            basis: (free parameters, dimensions of the plane); with 0 dimensions it is a point.
        """

        def loss(u: Floats) -> tuple[float, Floats]:
            logits = self.features @ (origin + basis @ u)
            told = self.counts.sum(1, keepdims=True) * scipy.special.softmax(logits, axis=1)
            slope = np.einsum("mo,mof->f", told - self.counts, self.features)
            return -float((self.counts * scipy.special.log_softmax(logits, axis=1)).sum()), slope @ basis

        start = np.zeros(basis.shape[1])
        if not start.size:
            return -loss(start)[0], origin
        solution = scipy.optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-7})
        return -float(solution.fun), origin + basis @ solution.x

    def why_unbounded(self) -> str:
        """Why the likelihood has no single maximum; empty where it has one.

        It has none where some direction makes no observed outcome less likely. Such a direction is a linear
        programme's (Albert and Anderson, "On the existence of maximum likelihood estimates in logistic
        regression models", Biometrika 71, 1984, here for Davidson's logits).
        """
        if not self.counts[:, :_TIE].any():
            return "every vote is a tie"
        match, seen = np.nonzero(self.counts)
        gains = self.features[match, seen][:, None] - self.features[match]
        gains = gains.reshape(-1, self.size)
        if np.linalg.matrix_rank(gains) < self.size:
            return "the models were not all compared with one another, directly or by way of others"
        solution = scipy.optimize.linprog(
            -gains.sum(0), A_ub=-gains, b_ub=np.zeros(len(gains)), bounds=(-1, 1)
        )
        if -solution.fun <= _FLAT:
            return ""
        way = self.centre @ solution.x
        above = ", ".join(n for n, w in zip(self.names, way, strict=True) if w >= way.max() - _FLAT)
        below = ", ".join(n for n, w in zip(self.names, way, strict=True) if w <= way.min() + _FLAT)
        return f"no vote limits how far {above} is above {below}; collect more"


def _estimate(likelihood: _Likelihood, best: Floats, parameter: Floats, count: int) -> Estimate:
    """A linear function of the free parameters at the maximum, with its profile interval."""
    value = float(parameter @ best)
    top = likelihood.maximum(best, np.zeros((likelihood.size, 0)))[0]
    allowed = float(scipy.stats.chi2.ppf(COVERAGE, df=1))
    along = parameter / (parameter @ parameter)
    rest = scipy.linalg.null_space(parameter[None])

    def excess(step: float) -> float:
        """How far a value is outside of the interval; it starts below 0 and grows without end."""
        return 2 * (top - likelihood.maximum(best + step * along, rest)[0]) - allowed

    def end(sign: int) -> float:
        far = 1.0
        while excess(sign * far) < 0:
            far *= 2
        return value + sign * float(
            scipy.optimize.brentq(lambda step: excess(sign * step), 0.0, far, xtol=1e-6)
        )

    return Estimate(value, end(-1), end(1), count)


def refit(matches: Sequence[tuple[int, int]], counts: Floats) -> Floats:
    """Maximum-likelihood log strengths of many sets of votes at once, by Newton's method; no intervals.

    Args:
        matches: model numbers, from 0 on; those that met.
        counts: (sets, matches, 3) votes for the first, for the second, and ties.

    Returns:
        (sets, models) log pi with mean 0; NaN in sets whose likelihood has no maximum.
    """
    num_models = 1 + max(model for match in matches for model in match)
    basis = scipy.linalg.null_space(np.ones((1, num_models)))
    centre = np.pad(basis, ((0, 0), (0, 1)))
    first, second = np.array(matches).T
    tie = (centre[first] + centre[second]) / 2 + np.eye(num_models)[-1]
    features = np.stack([centre[first], centre[second], tie], axis=1)
    votes = counts.sum(-1)
    parameters = np.zeros((len(counts), num_models))
    for _ in range(_NEWTON_STEPS):
        told = scipy.special.softmax(np.einsum("mof,sf->smo", features, parameters), axis=2)
        slope = np.einsum("smo,mof->sf", counts - votes[..., None] * told, features)
        mean = np.einsum("smo,mof->smf", told, features)
        square = np.einsum("sm,smo,mof,mog->sfg", votes, told, features, features)
        bend = square - np.einsum("sm,smf,smg->sfg", votes, mean, mean) + _FLAT**2 * np.eye(num_models)
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        parameters += np.clip(step, -1, 1)
    log_pi = parameters @ centre.T
    # Without a maximum every step goes on; nothing that was observed a finite number of times is so likely.
    return np.where(np.abs(log_pi).max(1, keepdims=True) < _NEWTON_STEPS / 3, log_pi, np.nan)
