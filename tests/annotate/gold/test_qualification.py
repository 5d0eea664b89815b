"""Training comes before the first vote, and is passed or tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.gold import queries as gold_queries
from annotate.gold.gold import make_gold
from annotate.judging.slots import lease_slot
from annotate.models import Qualification, Slot, User
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.votes import judge, next_slot

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def qualify(settings, round) -> None:
    settings.QUALIFY, settings.QUALIFY_PASS, settings.QUALIFY_WAIT_H = 3, 60, 24
    make_gold(round, items=2)


def train(person: User, *, right: int) -> None:
    for number in range(3):
        slot = next_slot(person)
        assert slot.pair.gold.is_training
        answer = slot.pair.gold_verdicts["identity"]
        judge(slot, answer if number < right else "both_bad")


def test_training_comes_before_the_first_vote(qualify, ana, lea, settings):
    settings.LEADS_MAY_VOTE = True
    assert "training pairs come first; 0 done" in browser_of(ana).get("/").content.decode()
    train(ana, right=2)
    assert not next_slot(ana).pair.is_gold, "2 of 3 are 60 percent"
    assert (Qualification.objects.get().right, Qualification.objects.get().is_passed) == (2, True)
    page = browser_of(ana).get("/qualification/identity/").content.decode()
    assert "You may judge this track" in page and "was expected" in page
    assert browser_of(ana).get("/qualification/controllability/").status_code == 404
    assert not next_slot(lea).pair.is_gold, "leads need no training"


def test_who_fails_waits_and_tries_again_on_other_pairs(qualify, ana):
    train(ana, right=1)
    met = set(Slot.objects.filter(annotator=ana).values_list("pair", flat=True))
    assert lease_slot(ana, Track.IDENTITY) is None
    refused = machine_of(ana).post("/api/tracks/identity/lease/", {}, format="json")
    assert refused.status_code == 204
    page = browser_of(ana).get("/judge/identity/").content.decode()
    assert "1 of 3 training pairs as expected" in page and "/qualification/identity/" in page
    assert "Change my last answer" not in page, "the try has ended"
    Qualification.objects.update(ended_at=timezone.now() - timedelta(hours=25))
    again = next_slot(ana)
    assert again.pair.gold.is_training and again.pair_id not in met


def test_working_gold_is_no_training_and_the_reverse(qualify, ana, always):
    train(ana, right=3)
    judge(next_slot(ana), "first")
    while (slot := lease_slot(ana, Track.IDENTITY)) is not None and slot.pair.is_gold:
        assert not slot.pair.gold.is_training
        judge(slot, "first")
    assert gold_queries.gold_accuracy(ana, Track.IDENTITY).count == 6
