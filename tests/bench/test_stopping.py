import pytest

from bench.stopping import by_majority, cascaded, fixed, make_world, score
from rlhf.records import Track
from rlhf.votes.stopping import Rule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worlds():
    return [make_world(seed, pairs=150) for seed in (20, 21)]


def test_the_same_person_says_the_same_under_every_rule(worlds) -> None:
    world = worlds[0]
    assert world.vote(3, Track.IDENTITY, 2) == make_world(20, pairs=150).vote(3, Track.IDENTITY, 2)
    people = [world.vote(3, track, place).annotator for place in range(6) for track in (Track.IDENTITY,)]
    assert len(set(people)) == 6


def test_stopping_saves_a_fifth_of_votes_and_is_right_more_often(worlds) -> None:
    given = [fixed(world) for world in worlds]
    base = score(worlds, [(votes, by_majority(votes)) for votes in given])
    stopped = score(worlds, [cascaded(world, Rule()) for world in worlds])
    assert base["votes_per_pair"] == 6
    assert stopped["votes_per_pair"] < 0.8 * base["votes_per_pair"]
    assert stopped["precision"] > base["precision"]


def test_a_perfect_score_counts_every_dominant_pair(worlds) -> None:
    truth = [[world.winner(pair) for pair in range(150)] for world in worlds]
    found = score(worlds, [(fixed(world), winners) for world, winners in zip(worlds, truth, strict=True)])
    assert (found["precision"], found["recall"]) == (1, 1)
    assert found["precision_by_seed"] == [1, 1]
