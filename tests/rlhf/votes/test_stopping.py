import random

import pytest

from rlhf.records import EXPRESSED, JointState, Track
from rlhf.votes.model import Annotator, VoteModel, truth_posterior
from rlhf.votes.stopping import Rule, Stop, decide, leading_track, wins_both
from rlhf.votes.vote import Vote
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE, vote

IDENTITY, CONTROLLABILITY = Track
STRANGERS = {track: VoteModel() for track in Track}
RULE = Rule(minimum=2, maximum=5, dominant_from=0.85, hopeless_below=0.1)


def given(identity=(), controllability=()) -> dict[Track, list[Vote]]:
    people = iter(range(100))
    verdicts = {IDENTITY: identity, CONTROLLABILITY: controllability}
    return {t: [vote(v, annotator=next(people), track=t) for v in verdicts[t]] for t in Track}


def decided(identity=(), controllability=(), pair=0, rule=RULE, models=STRANGERS):
    return decide(pair, given(identity, controllability), models, rule)


def best_case(votes: dict[Track, list[Vote]], rule: Rule) -> float:
    """The same strangers, asked one after the other; 0 where too many have abstained already."""
    if any(2 * sum(v.verdict is UNSURE for v in given) >= rule.maximum for given in votes.values()):
        return 0.0
    found = []
    for verdict in (FIRST, SECOND):
        share = 1.0
        for track in Track:
            more = [vote(verdict, annotator=200 + n) for n in range(rule.maximum - len(votes[track]))]
            share *= truth_posterior(votes[track] + more, STRANGERS[track])[verdict]
        found.append(share)
    return max(found)


def test_it_multiplies_the_tracks() -> None:
    identity = {FIRST: 0.9, SECOND: 0.05, TIE: 0.04, BOTH_BAD: 0.01}
    controllability = {FIRST: 0.6, SECOND: 0.3, TIE: 0.05, BOTH_BAD: 0.05}
    both = wins_both(identity, controllability)
    assert both == pytest.approx({"first": 0.54, "second": 0.015})


def test_tracks_take_turns_in_going_first() -> None:
    assert [decide(pair, {}, STRANGERS, RULE).next_track for pair in range(4)] == [*Track, *Track]
    assert decided().stop is None


def test_the_other_track_waits_until_this_one_is_won() -> None:
    assert decided([FIRST]).next_track is IDENTITY
    assert decided([FIRST, SECOND]).next_track is IDENTITY
    assert decided([FIRST, FIRST, FIRST]).next_track is CONTROLLABILITY
    assert decided((), [SECOND] * 3, pair=1).next_track is IDENTITY


def test_a_track_at_its_maximum_hands_over() -> None:
    """Two firsts against a second do not win a track, but it gets no sixth vote."""
    rule = Rule(2, 5, 0.8, 0.0)
    assert decided([FIRST, FIRST, SECOND, UNSURE, UNSURE], rule=rule).next_track is CONTROLLABILITY


def test_a_track_that_too_many_abstained_from_ends_the_pair() -> None:
    """With three abstentions of five at most, its verdict favours no sample any more."""
    found = decided([FIRST, FIRST, UNSURE, UNSURE, UNSURE], rule=Rule(2, 5, 0.95, 0.0))
    assert (found.stop, found.state) == (Stop.OUT_OF_REACH, JointState.UNDECIDED)
    assert "identity could not be judged (3 of 5 votes abstained)" in found.reason


def test_a_sample_that_probably_wins_waits_for_a_track_that_half_abstained_from() -> None:
    """Two skilled people are sure of identity; of controllability one is, and one abstained."""
    expert = Annotator(0.98, 0.0, (0.98, 0.98), (0.0, 0.0))
    experts = {track: VoteModel(annotators=dict.fromkeys(range(9), expert)) for track in Track}
    found = decided([FIRST, FIRST], [FIRST, UNSURE], models=experts)
    assert found.probability >= RULE.dominant_from
    assert (found.stop, found.next_track, found.chosen) == (None, CONTROLLABILITY, None)
    settled = decided([FIRST, FIRST], [FIRST, UNSURE, FIRST], models=experts)
    assert (settled.state, settled.chosen) == (JointState.DOMINANT, "first")


def test_it_goes_back_to_the_first_track_when_the_other_is_used_up() -> None:
    """Identity is won with 0.99 and controllability with 0.96; only the product is too low."""
    votes = [FIRST] * 3, [FIRST, FIRST, FIRST, SECOND, TIE]
    found = decided(*votes, rule=Rule(2, 5, 0.956, 0.1))
    assert (found.stop, found.next_track) == (None, IDENTITY)


def test_it_stops_when_a_sample_wins_both() -> None:
    found = decided([SECOND] * 3, [SECOND] * 3)
    assert (found.stop, found.state, found.chosen) == (Stop.DOMINANT, JointState.DOMINANT, "second")
    assert found.next_track is None
    truth = truth_posterior([vote(SECOND, annotator=n) for n in range(3)], VoteModel())
    assert found.probability == pytest.approx(truth[SECOND] ** 2)
    assert found.reason == (
        f"second wins both tracks with probability {found.probability:.2f}: identity second with "
        f"{truth[SECOND]:.2f} after 3 votes and controllability second with {truth[SECOND]:.2f} after 3 votes"
    )


@pytest.mark.parametrize(
    ("identity", "controllability", "state"),
    [
        ([TIE, TIE], [], JointState.TIED),
        ([BOTH_BAD, BOTH_BAD], [], JointState.REJECTED),
        ([FIRST] * 3, [SECOND] * 3, JointState.CONFLICTING),
        ([FIRST] * 3, [TIE] * 3, JointState.TIED),
    ],
)
def test_it_gives_up_what_nobody_can_win(identity, controllability, state) -> None:
    found = decided(identity, controllability)
    assert (found.stop, found.state, found.chosen) == (Stop.IMPROBABLE, state, None)
    assert found.probability < RULE.hopeless_below


def test_one_vote_ends_nothing() -> None:
    for verdict in EXPRESSED:
        assert decided([verdict]).next_track is IDENTITY
    assert decided([FIRST] * 5, [FIRST]).next_track is CONTROLLABILITY


def test_not_even_an_expert_ends_a_pair_with_one_vote() -> None:
    """The joint probability is hopeless, but one vote is below the minimum."""
    expert = Annotator(0.98, 0.0, (0.98, 0.98), (0.0, 0.0))
    experts = {track: VoteModel(annotators=dict.fromkeys(range(9), expert)) for track in Track}
    found = decided([FIRST] * 2, [SECOND], models=experts)
    assert found.probability < RULE.hopeless_below
    assert (found.stop, found.next_track) == (None, CONTROLLABILITY)


def test_it_stops_when_the_votes_left_cannot_suffice() -> None:
    disputed = [FIRST, SECOND, FIRST, SECOND, TIE]
    found = decided(disputed, rule=Rule(2, 5, 0.85, 0.0))
    assert (found.stop, found.state) == (Stop.OUT_OF_REACH, JointState.TIED)
    assert found.conclusions[IDENTITY].verdict is TIE
    assert best_case(given(disputed), RULE) < 0.85


def test_at_the_maximum_it_is_undecided() -> None:
    disputed = [FIRST, FIRST, FIRST, SECOND, SECOND]
    found = decided(disputed, disputed, rule=Rule(2, 5, 0.85, 0.0))
    assert (found.stop, found.state, found.next_track) == (Stop.AT_MAXIMUM, JointState.UNDECIDED, None)


def test_people_who_cannot_tell_use_up_votes() -> None:
    found = decided([UNSURE] * 5, [UNSURE] * 5)
    assert (found.stop, found.state) == (Stop.AT_MAXIMUM, JointState.UNDECIDED)


def test_better_people_need_fewer_votes() -> None:
    expert = Annotator(0.97, 0.0, (0.97, 0.97), (0.0, 0.0))
    experts = {track: VoteModel(annotators=dict.fromkeys(range(4), expert)) for track in Track}
    rule = Rule(2, 5, 0.95, 0.1)
    assert decided([FIRST] * 2, [FIRST] * 2, rule=rule).stop is None
    assert decided([FIRST] * 2, [FIRST] * 2, rule=rule, models=experts).stop is Stop.DOMINANT


@pytest.mark.parametrize("rule", [RULE, Rule(1, 1), Rule(3, 3, 0.9, 0.0), Rule(2, 6, 0.95, 0.3)])
def test_every_pair_ends_by_the_rule_it_states(rule: Rule) -> None:
    """Random votes, followed to the end: 200 pairs a rule."""
    rng = random.Random(0)
    for pair in range(200):
        votes = given()
        weights = [rng.random() for _ in range(5)]
        while (found := decide(pair, votes, STRANGERS, rule)).next_track:
            asked = votes[found.next_track]
            assert len(asked) < rule.maximum
            is_ripe = all(not v or len(v) >= rule.minimum for v in votes.values()) and any(votes.values())
            assert not is_ripe or best_case(votes, rule) >= rule.dominant_from
            verdict = rng.choices([*EXPRESSED, UNSURE], weights)[0]
            asked.append(vote(verdict, annotator=sum(map(len, votes.values())), track=found.next_track))
        counts = {track: len(votes[track]) for track in Track}
        assert counts[leading_track(pair)] >= rule.minimum
        assert all(count == 0 or count >= rule.minimum for count in counts.values())
        assert found.chosen is None or all(counts.values())
        assert (found.chosen is None) == (found.stop is not Stop.DOMINANT)
        if found.stop is Stop.OUT_OF_REACH:
            assert best_case(votes, rule) < rule.dominant_from
        assert "\n" not in found.reason


def test_it_swaps_with_the_samples() -> None:
    swap = {FIRST: SECOND, SECOND: FIRST}
    rng = random.Random(1)
    for _ in range(100):
        votes = [[rng.choice([*EXPRESSED, UNSURE]) for _ in range(rng.randint(0, 5))] for _ in Track]
        there = decided(*votes)
        back = decided(*([swap.get(v, v) for v in given] for given in votes))
        assert (there.stop, there.next_track, there.state) == (back.stop, back.next_track, back.state)
        assert there.probability == pytest.approx(back.probability)
        assert {there.chosen, back.chosen} in ({None}, {"first", "second"})


def test_it_reports_which_rule_is_wrong() -> None:
    with pytest.raises(ValueError, match="votes from 3 to 2; give"):
        Rule(minimum=3, maximum=2)
    with pytest.raises(ValueError, match="hopeless below 0.9, dominant from 0.8; give"):
        Rule(dominant_from=0.8, hopeless_below=0.9)
