"""Rules of an export, on plain verdicts and votes."""

from __future__ import annotations

import pytest

from rlhf.export.rule import ExportRule, choose
from rlhf.records import Track, Verdict

A, B, TIE, BAD = Verdict.FIRST, Verdict.SECOND, Verdict.TIE, Verdict.BOTH_BAD


@pytest.mark.parametrize(
    ("identity", "controllability", "chosen"),
    [
        ({A: 3}, {B: 2, TIE: 1}, "first"),
        ({A: 1, TIE: 2}, {B: 3}, "second"),
        ({A: 2, B: 1}, {A: 1, B: 2}, None),
        ({BAD: 3}, {BAD: 2, B: 1}, "second"),
        ({TIE: 3}, {BAD: 3}, None),
    ],
)
def test_pooled_votes_are_one_heap(identity, controllability, chosen):
    """Whatever the tracks' own verdicts are."""
    verdicts = dict.fromkeys(Track, TIE)
    votes = {Track.IDENTITY: identity, Track.CONTROLLABILITY: controllability}
    assert choose(ExportRule.POOLED, verdicts, votes)[0] == chosen


@pytest.mark.parametrize("track", Track)
def test_a_track_alone_is_its_own_verdict(track):
    (other,) = set(Track) - {track}
    for verdict, chosen in ((A, "first"), (B, "second"), (TIE, None), (BAD, None)):
        found, reason = choose(ExportRule(track), {track: verdict, other: A}, {})
        assert found == chosen
        assert reason == ("" if chosen else f"{track} is {verdict}")
