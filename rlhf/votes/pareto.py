"""Two tracks' verdicts -> chosen and rejected, or the reason why not."""

from __future__ import annotations

from typing import Literal

from rlhf.records import Consensus, JointResult, JointState, Track, Verdict

Sample = Literal["first", "second"]
#: The verdicts that favour a sample.
FAVOURED: dict[Verdict, Sample] = {Verdict.FIRST: "first", Verdict.SECOND: "second"}


def joint_state(
    identity: Verdict | None, controllability: Verdict | None, *, is_over: bool = False
) -> tuple[JointState, Sample | None]:
    """Decide what two tracks' verdicts make of a pair. No other function does.

    A pair is kept only where one sample is strictly better on both tracks (Pareto dominance). The first of
    these that holds gives the state:

        undecided     a track has no verdict, and votes are still to come
        rejected      a track found both samples bad
        undecided     a track could not be judged (its verdict is `unsure`)
        tied          a track saw no difference
        undecided     a track has no verdict
        conflicting   the tracks favour different samples
        dominant      both tracks favour the same sample, which is chosen

    Args:
        identity: verdict of the identity track, None while it has none.
        controllability: the same for the controllability track.
        is_over: no more votes will be asked for, so that a track may conclude the pair by itself: after a
            tie or two bad samples nothing that the other could say would make a sample dominant.

    Returns:
        State, and the chosen sample where it is `dominant`.
    """
    found = (identity, controllability)
    if None in found and not is_over:
        return JointState.UNDECIDED, None
    for verdict, state in (
        (Verdict.BOTH_BAD, JointState.REJECTED),
        (Verdict.UNSURE, JointState.UNDECIDED),
        (Verdict.TIE, JointState.TIED),
        (None, JointState.UNDECIDED),
    ):
        if verdict in found:
            return state, None
    if identity is not controllability or identity is None:
        return JointState.CONFLICTING, None
    return JointState.DOMINANT, FAVOURED[identity]


def resolve_pair(identity: Consensus | None, controllability: Consensus | None) -> JointResult:
    """Conclude a pair whose tracks have a fixed number of votes: `joint_state`, and why.

    Args:
        identity: consensus of the identity track, None where nobody has judged yet.
        controllability: the same for the controllability track.

    Returns:
        State, chosen sample and a one-line reason.
    """
    tracks = {Track.IDENTITY: identity, Track.CONTROLLABILITY: controllability}
    decided = {t: c for t, c in tracks.items() if c is not None and c.verdict is not None}
    verdicts = {track: consensus.verdict for track, consensus in decided.items()}
    state, chosen = joint_state(verdicts.get(Track.IDENTITY), verdicts.get(Track.CONTROLLABILITY))
    if len(decided) < len(tracks):
        waiting = [_waiting(track, tracks[track]) for track in tracks if track not in decided]
        return JointResult(state, chosen, "waiting for " + " and ".join(waiting))
    decisive = _DECISIVE[state]
    causes = [_cause(t, c) for t, c in decided.items() if decisive is None or c.verdict is decisive]
    return JointResult(state, chosen, " and ".join(causes))


#: The verdict that alone is the cause of a state, once both tracks have one; None where both are.
_DECISIVE = {
    JointState.REJECTED: Verdict.BOTH_BAD,
    JointState.UNDECIDED: Verdict.UNSURE,
    JointState.TIED: Verdict.TIE,
    JointState.CONFLICTING: None,
    JointState.DOMINANT: None,
}


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
