"""Every small set of votes: stopping, majority and the rule for verdicts agree on what a pair is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement, product

import pytest

from rlhf.records import Consensus, JointState, Track, Verdict
from rlhf.votes.consensus import resolve_track, resolve_weighed
from rlhf.votes.model import Annotator, VoteModel
from rlhf.votes.pareto import resolve_pair
from rlhf.votes.stopping import Rule, Stop, decide
from rlhf.votes.vote import Vote
from tests.rlhf.planted import FIRST, SECOND, vote

pytestmark = pytest.mark.slow

MOST = 3
_SETS = [said for size in range(MOST + 1) for said in combinations_with_replacement(Verdict, size)]
_EXPERT = Annotator(0.98, 0.0, (0.98, 0.98), (0.0, 0.0))
MODELS = {
    "strangers": VoteModel(),
    "experts": VoteModel(annotators=dict.fromkeys(range(2 * MOST), _EXPERT)),
}
RULES = [Rule(), Rule(1, MOST), Rule(MOST, MOST, 0.9, 0.0), Rule(2, 4, 0.6, 0.3)]


#: Of each track, up to three votes of every composition; nobody votes on both.
OF_TRACK = {
    track: [
        [vote(verdict, annotator=MOST * place + number, track=track) for number, verdict in enumerate(said)]
        for said in _SETS
    ]
    for place, track in enumerate(Track)
}


def combinations(
    resolve: Callable[[Track, list[Vote]], Consensus],
) -> Iterator[tuple[dict[Track, list[Vote]], dict[Track, Consensus]]]:
    """Every two sets of votes, and what they come to on their tracks."""
    known = {track: [(votes, resolve(track, votes)) for votes in sets] for track, sets in OF_TRACK.items()}
    for both in product(*known.values()):
        named = dict(zip(Track, both, strict=True))
        yield {t: votes for t, (votes, _) in named.items()}, {t: found for t, (_, found) in named.items()}


def one_sided(found: dict[Track, Consensus]) -> str | None:
    """The sample that both tracks' verdicts favour."""
    verdicts = {consensus.verdict for consensus in found.values()}
    return {FIRST: "first", SECOND: "second"}.get(*verdicts) if len(verdicts) == 1 else None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_what_stopping_concludes_is_what_the_verdicts_say(name: str, rule: Rule) -> None:
    models = dict.fromkeys(Track, MODELS[name])
    seen = set()
    for votes, found in combinations(
        lambda track, said: resolve_weighed(said, models[track], wanted=max(1, len(said)))
    ):
        made = decide(0, votes, models, rule)
        by_verdicts = resolve_pair(found[Track.IDENTITY], found[Track.CONTROLLABILITY])
        seen.add(made.state)
        if made.state is JointState.DOMINANT:
            assert made.chosen == one_sided(found) == by_verdicts.chosen, votes
            assert made.probability >= rule.dominant_from
        elif made.stop is None:
            assert made.state is JointState.UNDECIDED
        elif all(votes.values()) and by_verdicts.state is not JointState.DOMINANT:
            assert made.state is by_verdicts.state, votes
        assert (made.chosen is None) == (made.state is not JointState.DOMINANT)
        assert (made.stop is Stop.DOMINANT) == (made.state is JointState.DOMINANT)
    assert seen == set(JointState)


def test_a_majority_makes_a_pair_dominant_only_where_both_tracks_favour_a_sample() -> None:
    for votes, found in combinations(
        lambda track, said: resolve_track([one.verdict for one in said], wanted=MOST)
    ):
        made = resolve_pair(found[Track.IDENTITY], found[Track.CONTROLLABILITY])
        assert made.chosen == one_sided(found), votes
        assert (made.chosen is None) == (made.state is not JointState.DOMINANT)
