"""Leases: one holder a slot, one track a person, balanced sides."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotate.judging.assignment_queries import no_pair, open_pairs_for
from annotate.judging.slots import lease_slot, open_slots, release_slot, renew_lease
from annotate.models import Exposure, Round, Side, Slot, VideoSample
from rlhf.records import Track
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import next_slot

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
    slot = next_slot(first, Track.IDENTITY)
    let_lease_run_out(slot)
    assert lease_slot(second, Track.IDENTITY) == slot
    assert Exposure.objects.filter(annotator=first, pair=slot.pair).exists()
    assert lease_slot(first, Track.CONTROLLABILITY) is None


def test_it_keeps_a_live_lease_from_other_people():
    make_pair()
    assert lease_slot(make_user(), Track.IDENTITY) is not None
    assert lease_slot(make_user(), Track.IDENTITY) is None


def test_it_offers_nothing_of_a_closed_round():
    make_pair(make_round(state="closed"))
    assert lease_slot(make_user(), Track.IDENTITY) is None


def test_it_keeps_to_the_round_that_was_asked_for():
    make_pair()
    wanted = make_pair(make_round(may_be_chosen=True))
    slot = next_slot(make_user(), round_id=wanted.round_id)
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


def test_the_database_refuses_one_person_on_both_tracks():
    pair = make_pair()
    person = make_user()
    next_slot(person, Track.IDENTITY)
    other = pair.slots.get(track=Track.CONTROLLABILITY)
    values = {"first_side": "left", "left_surplus": 1, "lease": uuid4(), "annotator": person}
    now = timezone.now()
    with pytest.raises(IntegrityError, match="one_slot_a_person_and_pair"), transaction.atomic():
        Slot.objects.filter(pk=other.pk).update(leased_at=now, lease_expires_at=now, **values)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"num_frames": 17}, "num_frames: 9 and 17"),
        ({"encoding": "lean"}, "encoding: None and lean"),
    ],
)
def test_a_pair_whose_videos_can_be_told_apart_by_their_form_gets_no_slots(other, says):
    pair = make_pair(is_made=False)
    pair.first.facts = {"width": 64, "height": 64, "fps": 8, "num_frames": 9}
    pair.second.facts = pair.first.facts | other
    pair.second.save()
    open_slots([pair])
    assert not pair.slots.exists()
    assert pair.preference.reason == f"its videos differ in {says}; sample both again"
    with pytest.raises(IntegrityError, match="alike in form"), transaction.atomic():
        Slot.objects.create(pair=pair, round=pair.round, track=Track.IDENTITY, ordinal=0)


def test_the_database_refuses_a_slot_of_another_round():
    pair = make_pair(is_made=False)
    with pytest.raises(IntegrityError, match="its pair's round"), transaction.atomic():
        Slot.objects.create(pair=pair, round=make_round(), track=Track.IDENTITY, ordinal=0)


def queue(count: int, **changes: Any) -> Round:
    """A round of so many pairs of one instance."""
    round, instance = make_round(**changes), make_instance()
    for _ in range(count):
        make_pair(round, instance)
    return round


def judged(slot: Slot | None) -> Slot:
    assert slot is not None
    Slot.objects.filter(pk=slot.pk).update(judged_at=timezone.now())
    return slot


def test_the_next_pair_can_be_leased_ahead_and_stays_the_next():
    queue(4)
    person = make_user()
    first = next_slot(person, Track.IDENTITY)
    second = lease_slot(person, Track.IDENTITY, ahead_of=first.lease)
    assert second is not None and second != first
    assert lease_slot(person, Track.IDENTITY, ahead_of=first.lease) == second
    assert lease_slot(person, Track.IDENTITY) == first
    # Two at once are enough: the answer to the first has not arrived yet.
    assert lease_slot(person, Track.IDENTITY, ahead_of=second.lease) is None
    judged(first)
    third = lease_slot(person, Track.IDENTITY, ahead_of=second.lease)
    assert third not in (None, first, second)
    assert lease_slot(person, Track.IDENTITY) == second


def test_a_lease_that_was_lost_has_the_oldest_one_ahead():
    queue(2)
    person = make_user()
    first = lease_slot(person, Track.IDENTITY)
    assert lease_slot(person, Track.IDENTITY, ahead_of=uuid4()) == first


def test_a_heartbeat_keeps_a_lease_until_somebody_else_has_it():
    make_pair()
    slow, quick = make_user(), make_user()
    slot = lease_slot(slow, Track.IDENTITY)
    assert slot is not None and slot.lease is not None
    let_lease_run_out(slot)
    until = renew_lease(slow, slot.lease)
    assert until is not None and until > timezone.now()
    assert lease_slot(quick, Track.IDENTITY) is None
    assert renew_lease(quick, slot.lease) is None
    let_lease_run_out(slot)
    assert lease_slot(quick, Track.IDENTITY) == slot
    assert renew_lease(slow, slot.lease) is None


def test_pairs_are_finished_one_after_the_other():
    """Three people, three votes per pair: each pair has all of its votes before the next one has any."""
    queue(4, votes_wanted=3)
    people = [make_user() for _ in range(3)]
    order = []
    for _ in range(4):
        pairs = {judged(lease_slot(person, Track.IDENTITY)).pair_id for person in people}
        assert len(pairs) == 1
        order += pairs
    assert len(set(order)) == 4


def test_it_goes_on_from_the_start_of_the_queue_when_its_end_is_reached():
    queue(3)
    early, late = make_user(), make_user()
    given_up = next_slot(early, Track.IDENTITY)
    held = [judged(lease_slot(late, Track.IDENTITY)) for _ in range(2)]
    assert lease_slot(late, Track.IDENTITY) is None
    let_lease_run_out(given_up)
    assert given_up not in held
    assert lease_slot(late, Track.IDENTITY) == given_up


def test_the_older_round_is_finished_first():
    older, newer = queue(1), queue(1)
    person = make_user()
    rounds = [judged(lease_slot(person, Track.IDENTITY)).round for _ in range(2)]
    assert rounds == [older, newer]


def test_one_person_gets_no_more_pairs_of_a_round_than_the_cap(settings):
    settings.MAX_PAIRS_PER_ANNOTATOR = 2
    queue(3)
    person = make_user()
    for _ in range(2):
        judged(lease_slot(person, Track.IDENTITY))
    assert lease_slot(person, Track.IDENTITY) is None
    assert "as many as one person may" in no_pair(person, Track.IDENTITY).message
    assert lease_slot(make_user(), Track.IDENTITY) is not None
    queue(1)
    assert lease_slot(person, Track.IDENTITY) is not None


def test_one_person_gets_no_more_pairs_of_an_identity_than_the_cap(settings):
    settings.MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY = 1
    round = queue(2)
    other = make_pair(round, make_instance())
    person = make_user()
    given = {judged(lease_slot(person, Track.IDENTITY)).pair for _ in range(2)}
    assert other in given and len(given) == 2
    assert lease_slot(person, Track.IDENTITY) is None
    assert "as often as one person may (1)" in no_pair(person, Track.IDENTITY).message


def test_it_says_why_nothing_is_left():
    ana, ben = make_user(), make_user()
    assert "has its votes" in no_pair(ana, Track.IDENTITY).message
    unmade = make_pair(is_made=False)
    assert "being made" in no_pair(ana, Track.IDENTITY).message
    unmade.round.delete()
    VideoSample.objects.all().delete()
    pair = make_pair()
    assert "this very moment" in no_pair(ana, Track.IDENTITY).message
    slot = lease_slot(ana, Track.IDENTITY)
    assert "other people's hands" in no_pair(ben, Track.IDENTITY).message
    assert "already met" in no_pair(ana, Track.CONTROLLABILITY).message
    judged(slot)
    assert "has its votes" in no_pair(ana, Track.IDENTITY).message
    pair.round.state = "closed"
    pair.round.save()
    assert "has its votes" in no_pair(ben, Track.CONTROLLABILITY).message


def test_nobody_is_shown_a_person_whose_consent_has_ended():
    pair, ana = make_pair(), make_user()
    group = pair.instance.group
    type(group).objects.filter(pk=group.pk).update(
        consent_expires_on=timezone.localdate() - timedelta(days=1)
    )
    assert lease_slot(ana, Track.IDENTITY) is None and open_pairs_for(ana, Track.IDENTITY) == 0
    assert "did not agree to that" in no_pair(ana, Track.IDENTITY).message
    type(group).objects.filter(pk=group.pk).update(consent_expires_on=timezone.localdate())
    slot = lease_slot(ana, Track.IDENTITY)
    assert slot is not None and slot.pair == pair


def test_it_counts_what_is_open_for_somebody(monkeypatch):
    queue(5)
    ana, ben = make_user(), make_user()
    lease_slot(ana, Track.IDENTITY)
    counts = [open_pairs_for(who, track) for who in (ana, ben) for track in Track]
    assert counts == [5, 4, 4, 5]
    monkeypatch.setattr("annotate.judging.assignment_queries.MAX_COUNTED", 3)
    assert open_pairs_for(ana, Track.IDENTITY) == 3


@pytest.mark.django_db(transaction=True)
def test_it_never_leases_a_slot_twice_to_people_who_ask_at_once():
    """20 people, 4 pairs of 2 votes per track: 16 slots, all asked for at the same moment."""
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
