"""Votes: never lost, doubled or overwritten; resolved with the last one."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from annotate.models import Consensus, Judgment, PreferencePair, Slot, User, VideoPair
from annotate.services.judgments import AlreadyJudgedError, LeaseLostError, submit_judgment
from annotate.services.slots import lease_slot
from rlhf.records import JointState, Track, Verdict
from tests.factories import make_pair, make_round, make_user

pytestmark = pytest.mark.django_db


def held(person: User, track: Track = Track.IDENTITY) -> Slot:
    slot = lease_slot(person, track)
    assert slot is not None
    return slot


def vote(pair: VideoPair, track: Track, verdict: Verdict, person: User | None = None) -> Judgment:
    """Judge one slot of a pair so that the verdict comes out, whatever the side."""
    person = person or make_user()
    slot = held(person, track)
    assert slot.pair == pair
    first_on_left = slot.first_side == "left"
    choice = {
        Verdict.FIRST: "left" if first_on_left else "right",
        Verdict.SECOND: "right" if first_on_left else "left",
    }
    return submit_judgment(person, slot.lease, choice.get(verdict, str(verdict)), idempotency_key=uuid4())


def test_it_stores_the_sample_and_not_the_side():
    pair = make_pair()
    assert vote(pair, Track.IDENTITY, Verdict.SECOND).verdict == Verdict.SECOND


def test_it_returns_the_first_answer_for_the_same_key():
    make_pair()
    person = make_user()
    slot, key = held(person), uuid4()
    first = submit_judgment(person, slot.lease, "left", idempotency_key=key)
    assert submit_judgment(person, slot.lease, "right", idempotency_key=key) == first
    assert Judgment.objects.count() == 1


def test_it_refuses_another_answer_for_a_judged_slot():
    make_pair()
    person = make_user()
    slot = held(person)
    submit_judgment(person, slot.lease, "left", idempotency_key=uuid4())
    with pytest.raises(AlreadyJudgedError):
        submit_judgment(person, slot.lease, "right", idempotency_key=uuid4())
    assert Judgment.objects.count() == 1


def test_it_accepts_a_late_answer_while_nobody_else_took_the_slot():
    make_pair()
    person = make_user()
    slot = held(person)
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    assert Judgment.objects.count() == 1


def test_it_refuses_an_answer_for_a_slot_that_went_to_somebody_else():
    make_pair()
    late, quick = make_user(), make_user()
    slot = held(late)
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    held(quick)
    with pytest.raises(LeaseLostError):
        submit_judgment(late, slot.lease, "left", idempotency_key=uuid4())


def test_it_refuses_a_stranger():
    make_pair()
    slot = held(make_user())
    with pytest.raises(LeaseLostError):
        submit_judgment(make_user(), slot.lease, "left", idempotency_key=uuid4())
    with pytest.raises(LeaseLostError):
        submit_judgment(make_user(), UUID(int=0), "left", idempotency_key=uuid4())


@pytest.mark.parametrize(
    ("identity", "controllability", "state", "chosen"),
    [
        (Verdict.FIRST, Verdict.FIRST, JointState.DOMINANT, "first"),
        (Verdict.SECOND, Verdict.SECOND, JointState.DOMINANT, "second"),
        (Verdict.FIRST, Verdict.SECOND, JointState.CONFLICTING, None),
        (Verdict.FIRST, Verdict.TIE, JointState.TIED, None),
        (Verdict.BOTH_BAD, Verdict.FIRST, JointState.REJECTED, None),
        (Verdict.UNSURE, Verdict.FIRST, JointState.UNDECIDED, None),
    ],
)
def test_it_resolves_a_pair_with_its_last_vote(identity, controllability, state, chosen):
    pair = make_pair()
    vote(pair, Track.IDENTITY, identity)
    assert PreferencePair.objects.get(pair=pair).joint_state == JointState.UNDECIDED
    vote(pair, Track.CONTROLLABILITY, controllability)
    preference = PreferencePair.objects.get(pair=pair)
    assert preference.joint_state == state
    assert preference.chosen == (getattr(pair, chosen) if chosen else None)
    assert preference.reason


def test_it_waits_for_every_wanted_vote():
    pair = make_pair(make_round(votes_wanted=3))
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    assert not Consensus.objects.exists()
    vote(pair, Track.IDENTITY, Verdict.SECOND)
    assert Consensus.objects.get().verdict == Verdict.FIRST


def test_it_marks_everything_that_a_simulated_vote_touched():
    pair = make_pair()
    assert vote(pair, Track.IDENTITY, Verdict.FIRST, make_user(is_simulated=True)).is_simulated
    vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    assert Consensus.objects.get(track=Track.IDENTITY).is_simulated
    assert not Consensus.objects.get(track=Track.CONTROLLABILITY).is_simulated
    assert PreferencePair.objects.get().is_simulated


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_database_refuses_to_change_a_vote(change):
    pair = make_pair()
    judgment = vote(pair, Track.IDENTITY, Verdict.FIRST)
    with pytest.raises(DatabaseError, match="append_only"), transaction.atomic():
        if change == "delete":
            judgment.delete()
        else:
            Judgment.objects.update(verdict=Verdict.SECOND)


def test_the_database_refuses_to_make_a_simulated_account_human():
    person = make_user(is_simulated=True)
    person.is_simulated = False
    with pytest.raises(DatabaseError, match="simulated_for_ever"), transaction.atomic():
        person.save()


@pytest.mark.django_db(transaction=True)
def test_it_stores_one_vote_when_it_is_sent_many_times_at_once():
    make_pair()
    person = make_user()
    slot, key = held(person), uuid4()
    start = threading.Barrier(8)
    answers: list[Judgment] = []

    def send() -> None:
        try:
            start.wait()
            answers.append(submit_judgment(person, slot.lease, "left", idempotency_key=key))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.pk for answer in answers}) == 1
    assert len(answers) == 8
    assert Judgment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_resolves_when_the_last_votes_of_both_tracks_arrive_at_once():
    pair = make_pair()
    people = [make_user(), make_user()]
    slots = [held(people[0], Track.IDENTITY), held(people[1], Track.CONTROLLABILITY)]
    start = threading.Barrier(2)

    def send(person: User, slot: Slot) -> None:
        try:
            start.wait()
            choice = "left" if slot.first_side == "left" else "right"
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4())
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=pairing) for pairing in zip(people, slots, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert PreferencePair.objects.get(pair=pair).chosen == pair.first
