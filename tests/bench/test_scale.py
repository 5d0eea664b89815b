"""The site at scale, small: every page, list and poll that is timed opens."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from annotate.models import Job, User
from bench.scale import POLLED_PAGES, Timed, measure
from bench.scale_rows import Size
from tests.annotate.many_rows import fill_by_sql


def test_a_fraction_keeps_a_row_of_everything() -> None:
    assert Size.of(1.0) == Size() and Size().slots == 1_800_000
    assert min(vars(Size.of(1e-9)).values()) >= 12


def test_what_is_within_the_aims() -> None:
    assert Timed("lead", "/", 200, 25, 0.5, 1.0).is_within
    assert not Timed("lead", "/", 200, 26, 0.1, 1.0).is_within
    assert not Timed("lead", "/ (polled)", 200, 4, 0.1, 1.0).is_within


@pytest.mark.django_db
def test_everything_opens_and_polls_ask_one_question_beside_who_asks() -> None:
    fill_by_sql(12)
    assert User.objects.filter(username="annotator-9").exists()
    timed = measure()
    asked = [one for one in timed if one.what.endswith("(asked)")]
    assert {one.what: one.status for one in timed if one.status not in (200, 204) and one not in asked} == {}
    # The card of few pairs is written at once.
    assert {one.what: one.status for one in asked if one.status != 302} == {"/models/2/card/ (asked)": 200}
    assert {job.kind for job in Job.objects.all()} >= {"evaluate", "advance_round", "make_gold", "next_round"}
    polls = [one for one in timed if one.what.endswith("(polled)")]
    assert len(polls) == len(POLLED_PAGES) and max(one.statements for one in polls) <= 3
