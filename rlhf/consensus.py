"""Several people's verdicts on one track -> the verdict of the track."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rlhf.records import EXPRESSED, Consensus, Verdict

#: Changes whenever the same votes could lead to another verdict.
RULE_VERSION = "majority-1"

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
    counted = Counter(Verdict(verdict) for verdict in verdicts)
    counts = {verdict: counted[verdict] for verdict in Verdict}
    return Consensus(
        verdict=_majority(counts) if len(verdicts) >= wanted else None,
        counts=counts,
        posterior=posterior(counts),
        wanted=wanted,
        rule_version=RULE_VERSION,
        inputs_hash=_inputs_hash(counts, wanted),
    )


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
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
