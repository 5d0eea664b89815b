"""Two tracks' verdicts -> chosen and rejected, or the reason why not."""

from __future__ import annotations

from rlhf.records import FAVOURED, SETTLES, Consensus, JointResult, JointState, Sample, Track, Verdict


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
    verdicts = (identity, controllability)
    if None in verdicts and not is_over:
        return JointState.UNDECIDED, None
    for verdict, state in SETTLES.items():
        if verdict in verdicts:
            return state, None
    if identity is None or controllability is None:
        return JointState.UNDECIDED, None
    if identity is not controllability:
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
    decisive = {verdict for verdict, settled in SETTLES.items() if settled is state} or set(Verdict)
    causes = [cause(track, said) for track, said in decided.items() if said.verdict in decisive]
    return JointResult(state, chosen, " and ".join(causes))


def _waiting(track: Track, consensus: Consensus | None) -> str:
    if consensus is None:
        return f"{track} (no votes yet)"
    return f"{track} ({consensus.num_votes} of {consensus.wanted} votes)"


def cause(track: Track, consensus: Consensus) -> str:
    """Say in a few words what a track found, such as "controllability tied 1-1 with 1 abstention".

    Args:
        track: the question.
        consensus: with a verdict.
    """
    assert consensus.verdict is not None
    counts = consensus.counts
    said = consensus.verdict.data.cause.format(
        count=counts[consensus.verdict],
        total=consensus.num_votes,
        first=counts[Verdict.FIRST],
        second=counts[Verdict.SECOND],
        others=_others(consensus),
    )
    return f"{track} {said}"


def _others(consensus: Consensus) -> str:
    """Name the votes that took no side."""
    parts = [
        f"{count} {verdict.data.vote[count != 1]}"
        for verdict in Verdict
        if verdict not in FAVOURED and (count := consensus.counts[verdict])
    ]
    return f" with {', '.join(parts)}" if parts else ""
