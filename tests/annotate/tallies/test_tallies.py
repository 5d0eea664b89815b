"""Kept counts are what a recount finds, whatever a day of work does to the rows."""

from __future__ import annotations

import pytest

from annotate.tallies.recount import correct, differences, fold
from rlhf.records import Track, Verdict
from tests.factories import make_pair, make_round
from tests.votes import vote

pytestmark = pytest.mark.django_db


def test_first():
    round = make_round()
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    assert differences() == []
    assert fold() > 0
    assert differences() == []
    assert correct() == 0
