"""Several people's verdicts on one track -> the verdict of the track."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rlhf.records import EXPRESSED, Consensus, Verdict
from rlhf.votes.model import VoteModel, likely_verdict, truth_posterior
from rlhf.votes.vote import Vote

#: Changes whenever the same votes could lead to another verdict.
RULE_VERSION = "majority-1"
WEIGHED_RULE_VERSION = "one-coin-1"
ADJUDICATED_RULE_VERSION = "adjudicated-1"

#: Dirichlet prior over the four expressed verdicts: one imagined vote each (uniform).
PRIOR_VOTES = 1.0


def resolve_track(verdicts: Sequence[Verdict], wanted: int) -> Consensus:
    """Decide a track by strict majority of its votes.

    1. Fewer than `wanted` votes: no verdict yet (None).
    2. At least half of the votes are `unsure`: `unsure`, because too few people could tell.
    3. One verdict has more than half of all votes, abstentions counted in the whole: that verdict.
    4. Otherwise `tie`: people saw no clear difference between the two.

    So an abstention supports nobody, yet never helps anybody to a majority.

    Args:
        verdicts: one per person; their order does not matter.
        wanted: votes asked for, at least 1.

    Returns:
        The consensus, with counts and posterior also while votes are missing.

    Raises:
        ValueError: `wanted` is below 1, or a verdict is unknown.
    """
    if wanted < 1:
        raise ValueError(f"wanted is {wanted}; a track needs at least 1 vote")
    counts = _counts(verdicts)
    return Consensus(
        verdict=_majority(counts) if len(verdicts) >= wanted else None,
        counts=counts,
        posterior=posterior(counts),
        wanted=wanted,
        rule_version=RULE_VERSION,
        inputs_hash=_inputs_hash(counts, wanted),
    )


def resolve_weighed(votes: Sequence[Vote], model: VoteModel, wanted: int) -> Consensus:
    """Decide a track by what is probably true, given each person's skill and left bias.

    As `resolve_track` in 1 and 2; otherwise the most probable verdict of `truth_posterior`, and `tie` where
    two are equally probable.

    Args:
        votes: of one pair on one track, one per person; their order does not matter.
        model: of that track, from `rlhf.votes.fit`.
        wanted: votes asked for, at least 1.

    Returns:
        The consensus; its posterior is the probability that a verdict is the true one.

    Raises:
        ValueError: `wanted` is below 1.
    """
    if wanted < 1:
        raise ValueError(f"wanted is {wanted}; a track needs at least 1 vote")
    counts = _counts([vote.verdict for vote in votes])
    truth = truth_posterior(votes, model)
    if len(votes) < wanted:
        verdict = None
    elif 2 * counts[Verdict.UNSURE] >= len(votes):
        verdict = Verdict.UNSURE
    else:
        verdict = likely_verdict(truth) or Verdict.TIE
    inputs_hash = _weighed_inputs_hash(votes, model, wanted)
    return Consensus(verdict, counts, truth, wanted, WEIGHED_RULE_VERSION, inputs_hash)


def adjudicated_track(verdicts: Sequence[Verdict], word: Verdict, *, key: int) -> Consensus:
    """A lead's word, whatever the votes say; they stay in the counts.

    Args:
        verdicts: of the people who voted.
        word: what the lead decided.
        key: of the decision.

    Returns:
        The consensus, sure of `word`; an `unsure` leaves the posterior to the votes.
    """
    counts = _counts(verdicts)
    sure = {verdict: float(verdict is word) for verdict in EXPRESSED}
    inputs_hash = _sha256({"rule": ADJUDICATED_RULE_VERSION, "word": word.value, "key": key})
    truth = posterior(counts) if word is Verdict.UNSURE else sure
    return Consensus(word, counts, truth, len(verdicts), ADJUDICATED_RULE_VERSION, inputs_hash)


def posterior(counts: Mapping[Verdict, int]) -> dict[Verdict, float]:
    """Expected share of people behind each expressed verdict.

        share_v = (count_v + a) / (sum_u count_u + 4 a),   a = PRIOR_VOTES

    the mean of the Dirichlet posterior under a uniform prior. Abstentions carry no evidence.

    Args:
        counts: votes per verdict; missing verdicts count 0.

    Returns:
        Shares in (0, 1) for `first`, `second`, `tie` and `both_bad`; they sum to 1.
    """
    total = sum(counts.get(verdict, 0) for verdict in EXPRESSED) + PRIOR_VOTES * len(EXPRESSED)
    return {verdict: (counts.get(verdict, 0) + PRIOR_VOTES) / total for verdict in EXPRESSED}


def _counts(verdicts: Sequence[Verdict]) -> dict[Verdict, int]:
    counted = Counter(Verdict(verdict) for verdict in verdicts)
    return {verdict: counted[verdict] for verdict in Verdict}


def _majority(counts: Mapping[Verdict, int]) -> Verdict:
    total = sum(counts.values())
    if 2 * counts[Verdict.UNSURE] >= total:
        return Verdict.UNSURE
    for verdict in EXPRESSED:
        if 2 * counts[verdict] > total:
            return verdict
    return Verdict.TIE


def _inputs_hash(counts: Mapping[Verdict, int], wanted: int) -> str:
    inputs = {"rule": RULE_VERSION, "wanted": wanted, "votes": {v.value: counts[v] for v in Verdict}}
    return _sha256(inputs)


def _weighed_inputs_hash(votes: Sequence[Vote], model: VoteModel, wanted: int) -> str:
    weighed = []
    for vote in sorted(votes, key=lambda vote: vote.annotator):
        person = model.annotator(vote.annotator)
        weighed.append((vote.verdict.value, vote.first_on_left, person.skill, person.left_bias))
    return _sha256(
        {
            "rule": WEIGHED_RULE_VERSION,
            "wanted": wanted,
            "prior": model.prior,
            "errors": model.errors,
            "votes": weighed,
        }
    )


def _sha256(inputs: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
