"""Two tracks' verdicts -> chosen and rejected, or the reason why not."""

from __future__ import annotations

from rlhf.records import Consensus, JointResult, JointState, Track, Verdict


def resolve_pair(identity: Consensus | None, controllability: Consensus | None) -> JointResult:
    """Keep a pair only where one sample is strictly better on both tracks (Pareto dominance).

    The first of these that holds gives the state:

        undecided     a track still waits for votes
        rejected      a track found both samples bad
        undecided     a track could not be judged (its consensus is `unsure`)
        tied          a track saw no difference
        conflicting   the tracks favour different samples
        dominant      both tracks favour the same sample, which is `chosen`

    Args:
        identity: consensus of the identity track, None where nobody has judged yet.
        controllability: the same for the controllability track.

    Returns:
        State, chosen sample and a one-line reason.
    """
    tracks = {Track.IDENTITY: identity, Track.CONTROLLABILITY: controllability}
    decided = {t: c for t, c in tracks.items() if c is not None and c.verdict is not None}
    if len(decided) < len(tracks):
        waiting = [_waiting(track, tracks[track]) for track in tracks if track not in decided]
        return JointResult(JointState.UNDECIDED, None, "waiting for " + " and ".join(waiting))
    for verdict, state in (
        (Verdict.BOTH_BAD, JointState.REJECTED),
        (Verdict.UNSURE, JointState.UNDECIDED),
        (Verdict.TIE, JointState.TIED),
    ):
        causes = [_cause(track, c) for track, c in decided.items() if c.verdict == verdict]
        if causes:
            return JointResult(state, None, " and ".join(causes))
    return _strict(decided)


def _strict(decided: dict[Track, Consensus]) -> JointResult:
    """Both tracks favour one of the samples: the same one, or not."""
    reason = " and ".join(_cause(track, consensus) for track, consensus in decided.items())
    favoured = {consensus.verdict for consensus in decided.values()}
    if favoured == {Verdict.FIRST}:
        return JointResult(JointState.DOMINANT, "first", reason)
    if favoured == {Verdict.SECOND}:
        return JointResult(JointState.DOMINANT, "second", reason)
    return JointResult(JointState.CONFLICTING, None, reason)


def _waiting(track: Track, consensus: Consensus | None) -> str:
    if consensus is None:
        return f"{track} (no votes yet)"
    return f"{track} ({consensus.num_votes} of {consensus.wanted} votes)"


def _cause(track: Track, consensus: Consensus) -> str:
    """Say in a few words what a track found, such as "controllability tied 1-1 with 1 abstention"."""
    counts, total = consensus.counts, consensus.num_votes
    first, second = counts[Verdict.FIRST], counts[Verdict.SECOND]
    match consensus.verdict:
        case Verdict.BOTH_BAD:
            return f"{track} found both bad ({counts[Verdict.BOTH_BAD]} of {total} votes)"
        case Verdict.UNSURE:
            return f"{track} could not be judged ({counts[Verdict.UNSURE]} of {total} abstained)"
        case Verdict.TIE:
            return f"{track} tied {first}-{second}{_others(consensus)}"
        case Verdict.FIRST:
            return f"{track} favours first {first}-{second}{_others(consensus)}"
        case _:
            return f"{track} favours second {second}-{first}{_others(consensus)}"


def _others(consensus: Consensus) -> str:
    """Name the votes that took no side."""
    named = (
        (consensus.counts[Verdict.TIE], "tie", "ties"),
        (consensus.counts[Verdict.BOTH_BAD], "both-bad vote", "both-bad votes"),
        (consensus.counts[Verdict.UNSURE], "abstention", "abstentions"),
    )
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in named if count]
    return f" with {', '.join(parts)}" if parts else ""
