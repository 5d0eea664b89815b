"""After each vote on a pair: which track gets the next one, or why the pair needs none.

A pair is worth exporting when one sample wins both tracks. So votes stop when that is sure enough, or when
it will not happen: after a track has tied, the other track's votes would be spent on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from rlhf.records import FAVOURED, Consensus, JointState, Sample, Track, Verdict
from rlhf.votes.columns import CODE
from rlhf.votes.consensus import resolve_weighed
from rlhf.votes.model import PRIOR_ANNOTATOR, VoteModel, likely_verdict
from rlhf.votes.pareto import joint_state
from rlhf.votes.vote import Vote

Posterior = Mapping[Verdict, float]
Conclusions = Mapping[Track, Consensus]


class Stop(StrEnum):
    """Why a pair gets no more votes."""

    DOMINANT = "dominant"
    IMPROBABLE = "improbable"
    OUT_OF_REACH = "out_of_reach"
    AT_MAXIMUM = "at_maximum"


@dataclass(frozen=True)
class Rule:
    """When to stop; the defaults were chosen by `bench/stopping.py`.

    Raises:
        ValueError: numbers that are out of order.
    """

    # With 1, more votes are saved (31 % instead of 22 %), but one annotator alone ends a pair.
    minimum: int = 2  # votes of a track before anything is concluded from it
    maximum: int = 5  # votes of a track after which it gets no more, abstentions counted
    dominant_from: float = 0.8  # probability of winning both tracks from which a pair is dominant
    hopeless_below: float = 0.1  # the same probability below which a pair is given up

    def __post_init__(self) -> None:
        """Refuse what could never stop, or stops at once."""
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError(f"votes from {self.minimum} to {self.maximum}; give 1 <= minimum <= maximum")
        if not 0 <= self.hopeless_below < self.dominant_from < 1:
            raise ValueError(
                f"hopeless below {self.hopeless_below}, dominant from {self.dominant_from}; "
                "give 0 <= hopeless_below < dominant_from < 1"
            )


@dataclass(frozen=True)
class Decision:
    """What to do with a pair now."""

    next_track: Track | None  # the track that gets one more vote; None when the pair is finished
    stop: Stop | None  # why it is finished; None while it is not
    #: What `pareto.joint_state` makes of the verdicts once the pair is finished, `undecided` before; also
    #: where both verdicts favour a sample and the votes never made that sure enough.
    state: JointState
    chosen: Sample | None  # the sample that wins both tracks; None unless dominant
    probability: float  # that the better candidate wins both tracks
    reason: str  # one English line
    conclusions: Conclusions  # what each track concludes by now; without a verdict where nobody was asked


def wins_both(identity: Posterior, controllability: Posterior) -> dict[Sample, float]:
    """Probability that a sample truly wins both tracks, for each of the two.

        P(first wins both) = P(first | identity votes) P(first | controllability votes)

    Given the votes, the tracks' truths are taken as independent: other people judged other evidence, and how
    often one sample is better in both is not assumed in advance.

    Args:
        identity: posterior of the true verdict, from `truth_posterior`.
        controllability: the same for the other track.
    """
    return {sample: identity[verdict] * controllability[verdict] for verdict, sample in FAVOURED.items()}


def decide(
    pair: int, votes: Mapping[Track, Sequence[Vote]], models: Mapping[Track, VoteModel], rule: Rule
) -> Decision:
    """Stop a pair, or name the track of its next vote.

    While a track that has been asked lacks its minimum, it is asked again. Then the first of these that holds
    stops the pair:

        dominant       the verdicts make it dominant, and a sample wins both tracks with p >= dominant_from
        improbable     neither sample wins both with p >= hopeless_below
        at maximum     both tracks have the maximum
        out of reach   votes of unknown annotators for one sample, up to the maximum, would not suffice

    Otherwise the pair's leading track is asked until its verdict favours a sample that wins it with
    p >= sqrt(dominant_from), so that the other track can finish the product; then the other; then whichever
    has votes left. Even pairs lead with identity, odd ones with controllability: a track that always came
    second would only ever be seen on pairs that the first has let through.

    This says when a pair is finished. What its verdicts then make of it is `rlhf.votes.pareto.joint_state`.

    Args:
        pair: key of the pair.
        votes: so far, by track; a missing track has none.
        models: by track.
        rule: when to stop.

    Returns:
        The decision; the same input gives the same one.
    """
    given = {track: list(votes.get(track, ())) for track in Track}
    conclusions = {t: resolve_weighed(given[t], models[t], wanted=max(1, len(given[t]))) for t in Track}
    both = wins_both(conclusions[Track.IDENTITY].posterior, conclusions[Track.CONTROLLABILITY].posterior)
    best = max(both, key=both.__getitem__)
    left = {track: max(0, rule.maximum - len(given[track])) for track in Track}
    stop = _stop(conclusions, both[best], left, models, rule)
    state, chosen = _joint(conclusions, stop)
    return Decision(
        next_track=None if stop else _next_track(pair, conclusions, left, rule),
        stop=stop,
        state=state,
        chosen=chosen,
        probability=both[best],
        reason=_reason(stop, best, both[best], conclusions),
        conclusions=conclusions,
    )


def leading_track(pair: int) -> Track:
    """The track that is asked first, alternating from pair to pair."""
    return tuple(Track)[pair % 2]


def _joint(conclusions: Conclusions, stop: Stop | None) -> tuple[JointState, Sample | None]:
    if stop is None:
        return JointState.UNDECIDED, None
    state, chosen = _verdicts_say(conclusions)
    if state is JointState.DOMINANT and stop is not Stop.DOMINANT:
        return JointState.UNDECIDED, None  # both favour a sample, and it never was sure enough
    return state, chosen


def _verdicts_say(conclusions: Conclusions) -> tuple[JointState, Sample | None]:
    return joint_state(
        conclusions[Track.IDENTITY].verdict, conclusions[Track.CONTROLLABILITY].verdict, is_over=True
    )


def _stop(
    conclusions: Conclusions,
    probability: float,
    left: Mapping[Track, int],
    models: Mapping[Track, VoteModel],
    rule: Rule,
) -> Stop | None:
    asked = [consensus.num_votes for consensus in conclusions.values() if consensus.num_votes]
    if not asked or min(asked) < rule.minimum:
        return None
    if probability >= rule.dominant_from and _verdicts_say(conclusions)[0] is JointState.DOMINANT:
        return Stop.DOMINANT
    if probability < rule.hopeless_below:
        return Stop.IMPROBABLE
    if not any(left.values()):
        return Stop.AT_MAXIMUM
    return Stop.OUT_OF_REACH if _best_case(conclusions, left, models) < rule.dominant_from else None


def _next_track(pair: int, conclusions: Conclusions, left: Mapping[Track, int], rule: Rule) -> Track:
    leading = leading_track(pair)
    following = next(track for track in Track if track is not leading)
    if 0 < conclusions[following].num_votes < rule.minimum:
        return following
    first = conclusions[leading]
    sure_from = sqrt(rule.dominant_from)
    is_won = any(first.verdict is won and first.posterior[won] >= sure_from for won in FAVOURED)
    if left[leading] and not (first.num_votes >= rule.minimum and is_won):
        return leading
    return following if left[following] else leading


def _best_case(
    conclusions: Conclusions, left: Mapping[Track, int], models: Mapping[Track, VoteModel]
) -> float:
    """Probability of winning both if every vote that is left favoured the same sample.

    A vote for a sample by an unknown annotator without bias multiplies the odds of truth t by p(sample | t).
    It is 0 where abstentions stay at least half of a track's votes: its verdict then favours no sample.
    """
    cases = {}
    for verdict, sample in FAVOURED.items():
        cases[sample] = 1.0
        for track, consensus in conclusions.items():
            if 2 * consensus.counts[Verdict.UNSURE] >= consensus.num_votes + left[track]:
                return 0.0
            errors = models[track].errors
            weights = {
                true: share * _by_unknown_annotator(true, verdict, errors) ** left[track]
                for true, share in consensus.posterior.items()
            }
            cases[sample] *= weights[verdict] / sum(weights.values())
    return max(cases.values())


def _by_unknown_annotator(truth: Verdict, verdict: Verdict, errors: Sequence[Sequence[float]]) -> float:
    if truth is verdict:
        return PRIOR_ANNOTATOR.skill
    return (1 - PRIOR_ANNOTATOR.skill) * errors[CODE[truth]][CODE[verdict]]


def _reason(stop: Stop | None, best: Sample, probability: float, conclusions: Conclusions) -> str:
    said = " and ".join(_conclusion(track, conclusions[track]) for track in Track)
    match stop:
        case Stop.DOMINANT:
            return f"{best} wins both tracks with probability {probability:.2f}: {said}"
        case Stop.IMPROBABLE:
            return f"a sample that wins both tracks is improbable ({probability:.2f}): {said}"
        case Stop.OUT_OF_REACH:
            return f"the votes left cannot make a sample win both tracks ({probability:.2f}): {said}"
        case Stop.AT_MAXIMUM:
            return f"no sample surely wins both tracks ({probability:.2f}) with every vote given: {said}"
        case None:
            return f"{best} may win both tracks ({probability:.2f}): {said}"


def _conclusion(track: Track, consensus: Consensus) -> str:
    count = consensus.num_votes
    if not count:
        return f"{track} has no votes"
    votes = "1 vote" if count == 1 else f"{count} votes"
    if consensus.verdict is Verdict.UNSURE:
        return f"{track} could not be judged ({consensus.counts[Verdict.UNSURE]} of {votes} abstained)"
    likely = likely_verdict(consensus.posterior)
    if likely is None:
        return f"{track} undecided after {votes}"
    return f"{track} {likely.label} with {consensus.posterior[likely]:.2f} after {votes}"
