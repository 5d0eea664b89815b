import itertools

import pytest

from rlhf.records import JointState, Verdict
from rlhf.votes.consensus import resolve_track
from rlhf.votes.pareto import resolve_pair
from tests.rlhf.planted import BOTH_BAD, FIRST, SECOND, TIE, UNSURE

DOMINANT, CONFLICTING, TIED, REJECTED, UNDECIDED = (
    JointState.DOMINANT,
    JointState.CONFLICTING,
    JointState.TIED,
    JointState.REJECTED,
    JointState.UNDECIDED,
)

# The whole table, written out; it is symmetric in the two tracks. None: votes are missing.
TABLE = {
    (FIRST, FIRST): (DOMINANT, "first"),
    (SECOND, SECOND): (DOMINANT, "second"),
    (FIRST, SECOND): (CONFLICTING, None),
    (FIRST, TIE): (TIED, None),
    (FIRST, BOTH_BAD): (REJECTED, None),
    (FIRST, UNSURE): (UNDECIDED, None),
    (FIRST, None): (UNDECIDED, None),
    (SECOND, TIE): (TIED, None),
    (SECOND, BOTH_BAD): (REJECTED, None),
    (SECOND, UNSURE): (UNDECIDED, None),
    (SECOND, None): (UNDECIDED, None),
    (TIE, TIE): (TIED, None),
    (TIE, BOTH_BAD): (REJECTED, None),
    (TIE, UNSURE): (UNDECIDED, None),
    (TIE, None): (UNDECIDED, None),
    (BOTH_BAD, BOTH_BAD): (REJECTED, None),
    (BOTH_BAD, UNSURE): (REJECTED, None),
    (BOTH_BAD, None): (UNDECIDED, None),
    (UNSURE, UNSURE): (UNDECIDED, None),
    (UNSURE, None): (UNDECIDED, None),
    (None, None): (UNDECIDED, None),
}
PAIRS = list(itertools.product([*Verdict, None], repeat=2))


def consensus(verdict):
    """Three votes for one verdict, or a track that nobody has judged."""
    return None if verdict is None else resolve_track([verdict] * 3, 3)


def test_the_table_is_complete():
    assert {frozenset(key) for key in TABLE} == {frozenset(pair) for pair in PAIRS}


@pytest.mark.parametrize(("identity", "controllability"), PAIRS)
def test_it_resolves_every_combination(identity, controllability):
    expected = TABLE.get((identity, controllability)) or TABLE[controllability, identity]
    result = resolve_pair(consensus(identity), consensus(controllability))
    assert (result.state, result.chosen) == expected
    assert result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize(
    ("identity", "controllability", "reason"),
    [
        (
            [FIRST] * 3,
            [FIRST, SECOND, UNSURE],
            "controllability tied 1-1 with 1 abstention",
        ),
        (
            [FIRST, FIRST, SECOND],
            [FIRST, TIE, FIRST],
            "identity favours first 2-1 and controllability favours first 2-0 with 1 tie",
        ),
        (
            [FIRST, FIRST, SECOND],
            [SECOND] * 3,
            "identity favours first 2-1 and controllability favours second 3-0",
        ),
        (
            [BOTH_BAD, BOTH_BAD, FIRST],
            [SECOND] * 3,
            "identity found both bad (2 of 3 votes)",
        ),
        (
            [SECOND] * 3,
            [UNSURE, UNSURE, FIRST],
            "controllability could not be judged (2 of 3 abstained)",
        ),
        (
            [SECOND],
            [SECOND] * 3,
            "waiting for identity (1 of 3 votes)",
        ),
        (
            [TIE, TIE, BOTH_BAD],
            [TIE] * 3,
            "identity tied 0-0 with 2 ties, 1 both-bad vote and controllability tied 0-0 with 3 ties",
        ),
    ],
)
def test_it_says_why(identity, controllability, reason):
    assert resolve_pair(resolve_track(identity, 3), resolve_track(controllability, 3)).reason == reason


def test_it_names_a_track_nobody_has_judged():
    reason = resolve_pair(None, resolve_track([FIRST], 3)).reason
    assert reason == "waiting for identity (no votes yet) and controllability (1 of 3 votes)"
