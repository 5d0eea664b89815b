"""Leases: one holder a slot, one track a person, balanced sides."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotate.models import Exposure, Side, Slot
from annotate.services.slots import lease_slot, release_slot, verdict_of
from rlhf.records import Track, Verdict
from tests.factories import make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db


def let_lease_run_out(slot: Slot) -> None:
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_it_leases_each_wanted_vote_once():
    pair = make_pair(make_round(votes_wanted=2))
    people = [make_user() for _ in range(3)]
    leased = [lease_slot(person, Track.IDENTITY) for person in people]
    assert [slot is not None for slot in leased] == [True, True, False]
    assert {slot.pair_id for slot in leased if slot} == {pair.pk}


def test_it_returns_the_same_slot_until_it_is_judged():
    make_pair()
    make_pair()
    person = make_user()
    assert lease_slot(person, Track.IDENTITY) == lease_slot(person, Track.IDENTITY)


def test_it_never_shows_a_person_both_tracks_of_a_pair():
    make_pair()
    person = make_user()
    assert lease_slot(person, Track.IDENTITY) is not None
    assert lease_slot(person, Track.CONTROLLABILITY) is None


def test_it_remembers_what_a_person_saw_after_the_lease_went_to_somebody_else():
    make_pair()
    first, second = make_user(), make_user()
    slot = lease_slot(first, Track.IDENTITY)
    assert slot is not None
    let_lease_run_out(slot)
    assert lease_slot(second, Track.IDENTITY) == slot
    assert Exposure.objects.filter(annotator=first, pair=slot.pair).exists()
    assert lease_slot(first, Track.CONTROLLABILITY) is None


def test_it_keeps_a_live_lease_from_other_people():
    make_pair()
    assert lease_slot(make_user(), Track.IDENTITY) is not None
    assert lease_slot(make_user(), Track.IDENTITY) is None


def test_it_offers_nothing_of_a_closed_round():
    make_pair(make_round(is_open=False))
    assert lease_slot(make_user(), Track.IDENTITY) is None


def test_it_keeps_to_the_round_that_was_asked_for():
    make_pair()
    wanted = make_pair()
    slot = lease_slot(make_user(), Track.IDENTITY, wanted.round_id)
    assert slot is not None
    assert slot.pair == wanted


def test_it_gives_a_released_slot_to_the_next_person():
    make_pair()
    person = make_user()
    slot = lease_slot(person, Track.IDENTITY)
    assert slot is not None and slot.lease is not None
    assert release_slot(person, slot.lease)
    assert not release_slot(person, slot.lease)
    assert lease_slot(make_user(), Track.IDENTITY) == slot


def test_it_balances_sides_for_each_person_and_track():
    round = make_round()
    instance = make_instance()
    for _ in range(9):
        make_pair(round, instance)
    person = make_user()
    sides: Counter[str] = Counter()
    for given in range(1, 10):
        slot = lease_slot(person, Track.IDENTITY)
        assert slot is not None and slot.first_side is not None
        sides[slot.first_side] += 1
        assert abs(sides[Side.LEFT] - sides[Side.RIGHT]) <= 1, f"after {given} leases"
        Slot.objects.filter(pk=slot.pk).update(judged_at=timezone.now())


@pytest.mark.parametrize(
    ("first_side", "choice", "verdict"),
    [
        ("left", "left", Verdict.FIRST),
        ("left", "right", Verdict.SECOND),
        ("right", "left", Verdict.SECOND),
        ("right", "right", Verdict.FIRST),
        ("right", "tie", Verdict.TIE),
        ("left", "both_bad", Verdict.BOTH_BAD),
        ("left", "unsure", Verdict.UNSURE),
    ],
)
def test_it_turns_a_screen_side_into_a_sample(first_side, choice, verdict):
    assert verdict_of(Slot(first_side=first_side), choice) == verdict


def test_it_refuses_an_unknown_choice():
    with pytest.raises(ValueError, match="'middle'"):
        verdict_of(Slot(first_side="left"), "middle")


def test_the_database_refuses_one_person_on_both_tracks():
    pair = make_pair()
    person = make_user()
    lease = lease_slot(person, Track.IDENTITY)
    assert lease is not None
    other = pair.slots.get(track=Track.CONTROLLABILITY)
    values = {"first_side": "left", "left_surplus": 1, "lease": uuid4(), "annotator": person}
    now = timezone.now()
    with pytest.raises(IntegrityError, match="one_slot_a_person_and_pair"), transaction.atomic():
        Slot.objects.filter(pk=other.pk).update(leased_at=now, lease_expires_at=now, **values)


@pytest.mark.django_db(transaction=True)
def test_it_never_leases_a_slot_twice_to_people_who_ask_at_once():
    """20 people, 4 pairs of 2 votes a track: 16 slots, all asked for at the same moment."""
    round, instance = make_round(votes_wanted=2), make_instance()
    for _ in range(4):
        make_pair(round, instance)
    people = [make_user() for _ in range(20)]
    start = threading.Barrier(len(people))
    leased: list[tuple[int, int, str]] = []

    def ask(number: int) -> None:
        try:
            start.wait()
            for track in (Track.IDENTITY, Track.CONTROLLABILITY) if number % 2 else tuple(Track)[::-1]:
                slot = lease_slot(people[number], track)
                if slot:
                    leased.append((slot.pk, people[number].pk, slot.track))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({slot for slot, _, _ in leased}) == len(leased) == 16
    assert not Slot.objects.filter(annotator=None).exists()
    both = Slot.objects.values("pair", "annotator").distinct().count()
    assert both == 16


@pytest.mark.django_db(transaction=True)
def test_it_survives_one_person_asking_for_both_tracks_at_once():
    make_pair()
    person = make_user()
    start = threading.Barrier(2)
    leased: list[Slot] = []

    def ask(track: Track) -> None:
        try:
            start.wait()
            slot = lease_slot(person, track)
            if slot:
                leased.append(slot)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(track,)) for track in Track]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(leased) == 1
