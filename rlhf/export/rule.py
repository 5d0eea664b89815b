"""Other ways to read the same votes: which video of a pair is exported as the chosen one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from rlhf.records import FAVOURED, Sample, Track, Verdict


class ExportRule(StrEnum):
    """What makes one video of a pair the chosen one; both tracks must be decided under every rule.

    pareto            strictly better on both tracks: the method's own rule (`rlhf.votes.pareto`), the default
    identity          the identity track's verdict alone
    controllability   the controllability track's verdict alone
    pooled            more votes than the other video, the votes of both tracks counted as one heap
    """

    PARETO = "pareto"
    IDENTITY = "identity"
    CONTROLLABILITY = "controllability"
    POOLED = "pooled"


def choose(
    rule: ExportRule, verdicts: Mapping[Track, Verdict], votes: Mapping[Track, Mapping[Verdict, int]]
) -> tuple[Sample | None, str]:
    """Which video a rule chooses.

    Args:
        rule: of the export; not `pareto`, which is `rlhf.votes.pareto`'s.
        verdicts: of both tracks.
        votes: of both tracks by verdict; only `pooled` reads them.

    Returns:
        The chosen video and "", or None and the reason in a few words.
    """
    if rule is ExportRule.POOLED:
        heap = sum((Counter(given) for given in votes.values()), Counter[Verdict]())
        lead = heap[Verdict.FIRST] - heap[Verdict.SECOND]
        winner = Verdict.FIRST if lead > 0 else Verdict.SECOND if lead < 0 else None
        reason = "as many votes for one video as for the other"
    else:
        winner = verdicts[Track(rule)]
        reason = f"{rule} is {winner}"
    sample = FAVOURED.get(winner) if winner else None
    return sample, "" if sample else reason
