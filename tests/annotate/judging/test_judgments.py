"""Votes: never lost, doubled or overwritten; resolved with the last one."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.judging.answer_schema import NotWatchedError
from annotate.judging.judgments import (
    AlreadyAnsweredError,
    LeaseLostError,
    TooLateError,
    revise_judgment,
    submit_judgment,
)
from annotate.models import Consensus, Judgment, PreferencePair, Slot, User
from rlhf.records import JointState, Track, Verdict
from tests.factories import make_pair, make_round, make_user
from tests.votes import next_slot, vote

pytestmark = pytest.mark.django_db


def test_it_stores_the_sample_and_not_the_side():
    pair = make_pair()
    assert vote(pair, Track.IDENTITY, Verdict.SECOND).verdict == Verdict.SECOND


def test_it_returns_the_first_answer_for_the_same_key():
    make_pair()
    person = make_user()
    slot, key = next_slot(person), uuid4()
    first = submit_judgment(person, slot.lease, "left", idempotency_key=key)
    assert submit_judgment(person, slot.lease, "left", idempotency_key=key) == first
    assert Judgment.objects.count() == 1


def test_it_refuses_a_key_that_belongs_to_another_pair():
    round = make_round()
    make_pair(round)
    make_pair(round)
    person, key = make_user(), uuid4()
    submit_judgment(person, next_slot(person).lease, "left", idempotency_key=key)
    with pytest.raises(ValueError, match="was used for another pair"):
        submit_judgment(person, next_slot(person).lease, "left", idempotency_key=key)
    assert Judgment.objects.count() == 1


def test_it_refuses_another_answer_for_a_judged_slot():
    make_pair()
    person = make_user()
    slot = next_slot(person)
    key = uuid4()
    first = submit_judgment(person, slot.lease, "left", idempotency_key=key, note="a mole")
    for choice, note, other_key in (
        ("right", "a mole", uuid4()),
        ("right", "a mole", key),
        ("left", "", uuid4()),
        ("left", "a mole", uuid4()),
    ):
        with pytest.raises(AlreadyAnsweredError) as refused:
            submit_judgment(person, slot.lease, choice, idempotency_key=other_key, note=note)
        assert refused.value.answer == first
        assert refused.value.is_same == ((choice, note) == ("left", "a mole"))
    assert Judgment.objects.count() == 1


def test_it_accepts_a_late_answer_while_nobody_else_took_the_slot():
    make_pair()
    person = make_user()
    slot = next_slot(person)
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    assert Judgment.objects.count() == 1


def test_it_refuses_an_answer_for_a_slot_that_went_to_somebody_else():
    make_pair()
    late, quick = make_user(), make_user()
    slot = next_slot(late)
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    next_slot(quick)
    with pytest.raises(LeaseLostError):
        submit_judgment(late, slot.lease, "left", idempotency_key=uuid4())


def test_it_refuses_a_stranger():
    make_pair()
    slot = next_slot(make_user())
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


def test_it_keeps_what_was_said_besides_of_samples_and_not_of_sides():
    make_pair()
    person = make_user()
    slot = next_slot(person)
    first_at = str(slot.first_side)
    other = "right" if first_at == "left" else "left"
    judgment = submit_judgment(
        person,
        slot.lease,
        first_at,
        idempotency_key=uuid4(),
        strength="clearly",
        reasons=["Nose or mouth"],
        note="the ear",
        breaks=[{"side": other, "frame": 8}, {"side": first_at, "frame": 0}],
    )
    judgment.refresh_from_db()
    assert (judgment.verdict, judgment.strength, judgment.note) == ("first", "clearly", "the ear")
    assert judgment.reasons == ["Nose or mouth"]
    assert judgment.breaks == [{"sample": "second", "frame": 8}, {"sample": "first", "frame": 0}]


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"strength": "clearly"}, "'tie' favours no side"),
        ({"breaks": [{"side": "left", "frame": 9}]}, "frames 0 to 8"),
        ({"breaks": [{"side": "up", "frame": 0}]}, "side is 'up'"),
    ],
)
def test_it_refuses_what_does_not_fit_the_choice_or_the_videos(details, says):
    make_pair()
    person = make_user()
    slot = next_slot(person)
    with pytest.raises(ValueError, match=says):
        submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4(), **details)
    assert not Judgment.objects.exists()


def test_the_database_refuses_a_strength_without_a_side():
    slot = vote(make_pair(), Track.IDENTITY, Verdict.TIE).slot
    values = {"verdict": "tie", "evidence": {}, "is_simulated": False, "idempotency_key": uuid4()}
    with pytest.raises(IntegrityError, match="strength_of_a_difference"), transaction.atomic():
        Judgment.objects.create(slot=slot, revision=2, strength="slightly", **values)


def test_a_slot_is_judged_with_its_judgment_whoever_writes_it():
    make_pair()
    slot = next_slot(make_user())
    values = {"verdict": "tie", "evidence": {}, "is_simulated": False, "idempotency_key": uuid4()}
    judgment = Judgment.objects.create(slot=slot, **values)
    slot.refresh_from_db()
    assert slot.judged_at == judgment.created_at


def test_a_revision_counts_instead_of_the_first_answer_and_resolves_the_pair_again():
    pair = make_pair()
    vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    person = make_user()
    slot, key = next_slot(person), uuid4()
    other = "right" if slot.first_side == "left" else "left"
    submit_judgment(person, slot.lease, other, idempotency_key=uuid4())
    assert PreferencePair.objects.get().joint_state == JointState.CONFLICTING
    revised = revise_judgment(person, slot.lease, slot.first_side, idempotency_key=key)
    assert (revised.revision, revised.verdict) == (2, "first")
    assert PreferencePair.objects.get().chosen == pair.first
    assert Consensus.objects.get(track=Track.IDENTITY).votes["first"] == 1
    assert revise_judgment(person, slot.lease, slot.first_side, idempotency_key=key) == revised
    with pytest.raises(ValueError, match="used for another answer"):
        revise_judgment(person, slot.lease, "tie", idempotency_key=key)
    assert Judgment.objects.filter(slot=slot).count() == 2


def test_an_answer_sent_again_after_its_revision_is_still_known():
    make_pair()
    person = make_user()
    slot, key = next_slot(person), uuid4()
    first = submit_judgment(person, slot.lease, "left", idempotency_key=key)
    revise_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    assert submit_judgment(person, slot.lease, "left", idempotency_key=key) == first


def test_an_answer_can_be_changed_by_its_person_and_for_a_while(settings):
    make_pair()
    person = make_user()
    slot = next_slot(person)
    with pytest.raises(LeaseLostError, match="no answer of yours"):
        revise_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    submit_judgment(person, slot.lease, "left", idempotency_key=uuid4())
    with pytest.raises(LeaseLostError):
        revise_judgment(make_user(), slot.lease, "tie", idempotency_key=uuid4())
    settings.UNDO_S = 0
    with pytest.raises(TooLateError, match="0 seconds"):
        revise_judgment(person, slot.lease, "tie", idempotency_key=uuid4())


def seen(left: float, right: float) -> dict[str, Any]:
    return {"coverage": {"left": left, "right": right}}


def test_the_watch_gate_asks_for_both_videos(settings):
    settings.WATCH_GATE = {"identity": 80, "controllability": 0}
    pair = make_pair()
    person = make_user()
    slot = next_slot(person)
    for evidence, says in (({}, "0 % of the left"), (seen(1, 0.794), "79 % of the right video .* 80 %")):
        with pytest.raises(NotWatchedError, match=says):
            submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4(), evidence=evidence)
    submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4(), evidence=seen(0.8, 0.8))
    vote(pair, Track.CONTROLLABILITY, Verdict.TIE)


def test_who_cannot_judge_need_not_have_watched_but_has_to_before_they_say_otherwise(settings):
    settings.WATCH_GATE = {"identity": 80, "controllability": 80}
    make_pair()
    person = make_user()
    slot = next_slot(person)
    submit_judgment(person, slot.lease, "unsure", idempotency_key=uuid4())
    with pytest.raises(NotWatchedError):
        revise_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    revise_judgment(person, slot.lease, "tie", idempotency_key=uuid4(), evidence=seen(1, 1))
    # What was watched for an earlier answer counts.
    revise_judgment(person, slot.lease, "left", idempotency_key=uuid4())
    assert Judgment.objects.count() == 3


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
    slot, key = next_slot(person), uuid4()
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
    slots = [next_slot(people[0], Track.IDENTITY), next_slot(people[1], Track.CONTROLLABILITY)]
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


def test_a_vote_reads_its_slot_and_the_other_votes_and_nothing_else():
    """A column that is not read with the slot would be fetched on its own, for every vote."""
    make_pair(make_round(votes_wanted=3))
    person = make_user()
    slot = next_slot(person)
    with CaptureQueriesContext(connection) as captured:
        submit_judgment(person, slot.lease, "left", idempotency_key=uuid4())
    reads = [query["sql"].strip() for query in captured if query["sql"].strip().startswith("SELECT")]
    assert ["FROM annotate_slot" in reads[0], "FROM annotate_judgment" in reads[1]] == [True, True]
    assert len(reads) == 2
