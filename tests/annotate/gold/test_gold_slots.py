"""Pairs whose answer is known: made from what there is, mixed in, told from others by nobody."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from django.conf import settings as site
from django.db import connection
from django.utils import timezone

from annotate.gold import gold_slots
from annotate.gold import queries as gold_queries
from annotate.gold.gold import make_gold, retire
from annotate.judging.assignment_queries import open_pairs_for
from annotate.judging.slots import lease_slot, release_all, release_slot
from annotate.loop.loop import advance_round
from annotate.models import (
    Consensus,
    Curation,
    GoldKind,
    GoldPair,
    PreferencePair,
    Reference,
    Slot,
    User,
    VideoPair,
    VideoSample,
)
from annotate.rounds.funnel_queries import round_funnel
from annotate.rounds.rounds import open_ready_pairs
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.gold.conftest import QUESTIONS
from tests.factories import (
    make_instance,
    make_pair,
    make_round,
    make_user,
)
from tests.votes import judge, next_slot

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def test_gold_is_in_no_queue_no_funnel_no_consensus_and_no_export(round, always):
    before = round_funnel(round)
    make_gold(round, items=2)
    open_ready_pairs(round)
    assert round_funnel(round) == before
    assert not Slot.objects.filter(pair__gold__isnull=False).exists()
    ana = make_user()
    judge(next_slot(ana), "first")  # nobody begins with gold
    slot = next_slot(ana)
    assert slot.pair.is_gold
    judge(slot, "first")
    assert not PreferencePair.objects.filter(pair=slot.pair).exists()
    assert not Consensus.objects.filter(pair=slot.pair).exists()
    abandoned = next_slot(make_second(ana))
    assert abandoned.pair.is_gold
    for pair in round.pairs.filter(gold=None):
        for track in Track:
            if Slot.objects.filter(pair=pair, track=track, judged_at=None).exists():
                person = make_user()
                free = Slot.objects.get(pair=pair, track=track, judged_at=None)
                Slot.objects.filter(pk=free.pk).update(
                    annotator=person,
                    lease=uuid4(),
                    first_side="left",
                    left_surplus=1,
                    leased_at=timezone.now(),
                    lease_expires_at=timezone.now() + timedelta(minutes=5),
                )
                free.refresh_from_db()
                judge(free, "first")
    step = advance_round(round)
    assert not step.is_waiting_for_people and step.run is not None


def make_second(_: User) -> User:
    """Somebody who has judged one pair of the queue already."""
    person = make_user()
    judge(next_slot(person), "first")
    return person


def test_nobody_meets_an_item_twice_and_no_item_meets_too_many(round, always):
    make_gold(round, items=1)
    GoldPair.objects.update(budget=2)
    people = [make_second(make_user()) for _ in range(3)]
    met = {person.pk: [] for person in people}
    for person in people:
        while (slot := lease_slot(person, Track.IDENTITY)) is not None and slot.pair.is_gold:
            met[person.pk].append(slot.pair_id)
            judge(slot, "first")
    assert [len(pairs) == len(set(pairs)) for pairs in met.values()] == [True] * 3
    shown = [gold.pair.slots.count() for gold in GoldPair.objects.filter(track=Track.IDENTITY)]
    assert max(shown) == 2 and sum(len(pairs) for pairs in met.values()) == sum(shown)


@pytest.mark.django_db(transaction=True)
def test_the_last_place_of_an_item_goes_to_one_person(settings, monkeypatch):
    settings.GOLD_EVERY = 0
    round = make_round(votes_wanted=8)
    for _ in range(9):  # more than gold is made of, so that all begin with a pair that is in none
        make_pair(round, make_instance(num_references=2))
    Reference.objects.update(curation=Curation.DONE)
    make_gold(round, items=1)
    GoldPair.objects.exclude(track=Track.IDENTITY, kind=GoldKind.DEGRADED).delete()
    GoldPair.objects.update(budget=1)
    monkeypatch.setattr("annotate.judging.slots.is_golds_turn", lambda: False)
    people = [make_user() for _ in range(6)]
    for person in people:
        judge(next_slot(person), "first")
    monkeypatch.setattr("annotate.judging.slots.is_golds_turn", lambda: True)
    gate, given = threading.Barrier(len(people)), []

    def ask(person: User) -> None:
        try:
            gate.wait(timeout=20)
            given.append(next_slot(person).pair.is_gold)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(people) and sum(given) == 1


def test_gold_does_not_disturb_the_queue_and_comes_while_nothing_is_held(round, always):
    make_gold(round, items=2)
    ana = make_user()
    first = next_slot(ana)
    assert not first.pair.is_gold, "nobody begins with gold"
    assert next_slot(ana) == first, "what is held comes before anything"
    ahead = lease_slot(ana, Track.IDENTITY, ahead_of=first.lease)
    assert ahead is not None and ahead.pair.is_gold and ahead.random_key == first.random_key
    assert abs(ahead.left_surplus) <= 1
    assert lease_slot(ana, Track.IDENTITY, ahead_of=first.lease) == ahead


def test_about_one_pair_in_so_many_is_gold(settings, monkeypatch):
    settings.GOLD_EVERY = 4
    draws = iter(np.random.default_rng(0).random(4000))
    monkeypatch.setattr(gold_slots.random, "random", lambda: next(draws))
    assert 900 < sum(gold_slots.is_golds_turn() for _ in range(4000)) < 1100
    settings.GOLD_EVERY = 0
    assert not gold_slots.is_golds_turn()


def test_a_person_meets_a_pair_of_theirs_again_with_the_sides_exchanged(round, always):
    ana, ben = make_user(), make_user()
    first = next_slot(ana)
    judge(first, "first")
    assert make_gold(round, items=1)["repeat"] == 0, "not on the same day"
    Slot.objects.filter(pk=first.pk).update(judged_at=timezone.now() - timedelta(days=2))
    assert make_gold(round, items=1)["repeat"] == 1
    repeat = next_slot(ana)
    assert repeat.pair.gold.repeats == first and repeat.first_side != first.first_side
    judge(repeat, "second")
    assert gold_queries.self_consistency(ana, Track.IDENTITY).value == 0
    assert gold_queries.gold_accuracy(ana, Track.IDENTITY).reason.startswith("undefined because")
    judge(next_slot(ben), "first")
    while (slot := lease_slot(ben, Track.IDENTITY)) is not None and slot.pair.is_gold:
        assert slot.pair.gold.kind != GoldKind.REPEAT, "a repeat is for its own person"
        judge(slot, "first")


def test_accuracy_is_counted_against_the_known_answers(round, always):
    make_gold(round, items=2)
    ana = make_second(make_user())
    right = asked = 0
    while (slot := lease_slot(ana, Track.IDENTITY)) is not None and slot.pair.is_gold:
        answer = slot.pair.gold_verdicts["identity"]
        judge(slot, "first")
        right, asked = right + (answer == "first"), asked + 1
    found = gold_queries.gold_accuracy(ana, Track.IDENTITY)
    assert (found.value, found.count) == (right / asked, asked) and asked == 6


def test_an_item_that_most_see_otherwise_is_suspect_and_can_be_retired(round, lea, ana, always):
    make_gold(round, items=1)
    GoldPair.objects.exclude(kind=GoldKind.DEGRADED).delete()
    (gold,) = GoldPair.objects.all()
    answer = Verdict(gold.pair.gold_verdicts["identity"])
    wrong = Verdict.SECOND if answer is Verdict.FIRST else Verdict.FIRST
    late, *others = [make_second(ana) for _ in range(4)]
    for person in others:
        judge(next_slot(person), wrong)
    (row,) = gold_queries.gold_items(round)
    assert row.is_suspect and row.right.value == 0 and row.shown == 3
    page = browser_of(lea).get(f"/rounds/{round.pk}/gold/").content.decode()
    assert "most disagree" in page
    assert browser_of(lea).post(f"/gold/{gold.pk}/retire/").status_code == 302
    assert not retire(gold, lea)
    assert not next_slot(late).pair.is_gold
    for address in (f"/rounds/{round.pk}/gold/", f"/gold/{gold.pk}/retire/"):
        assert browser_of(ana).post(address).status_code == 404


def test_nothing_that_a_person_receives_tells_gold(round, ana, always):
    """The API and the page: the same fields, and none of the words or ids that would give it away."""
    make_gold(round, items=1)
    client = machine_of(ana)
    plain = client.post("/api/tracks/identity/lease/", {}, format="json").json()
    judge(Slot.objects.get(lease=plain["lease"]), "first")
    answer = client.post("/api/tracks/identity/lease/", {}, format="json")
    gold = Slot.objects.select_related("pair__gold", "pair__first", "pair__second").get(
        lease=answer.json()["lease"]
    )
    assert gold.pair.is_gold and answer.json().keys() == plain.keys()
    page = browser_of(ana).get("/judge/identity/").content.decode()
    video = client.get(answer.json()["left"])
    said = " ".join([answer.content.decode(), page, str(dict(video.headers)), str(dict(answer.headers))])
    files = (gold.pair.first.path, gold.pair.second.sha256, str(site.STORAGE_ROOT))
    for secret in ("gold", *GoldKind.values, *files):
        assert secret not in said.lower(), secret


def test_a_vote_on_a_usual_pair_is_resolved_as_before(round):
    pair = VideoPair.objects.filter(gold=None).first()
    person = make_user()
    while (slot := next_slot(person)).pair != pair:
        judge(slot, "first")
    judge(slot, "first")
    assert PreferencePair.objects.filter(pair=pair).exists()


def test_where_the_queue_gives_nothing_there_is_no_gold(round, always):
    """Who asks again after the last pair gets nothing: gold takes the turn of a pair of the queue."""
    make_gold(round, items=3)
    ana = make_second(make_user())
    assert next_slot(ana).pair.is_gold
    release_all(ana)
    Slot.objects.filter(annotator=None).delete()
    assert [lease_slot(ana, Track.IDENTITY) for _ in range(20)] == [None] * 20
    assert GoldPair.objects.filter(track=Track.IDENTITY).exclude(pair__exposures__annotator=ana).exists()


def test_what_is_open_falls_by_one_with_every_pair(round, monkeypatch):
    draws = np.random.default_rng(3)
    monkeypatch.setattr("annotate.judging.slots.is_golds_turn", lambda: bool(draws.random() < 0.4))
    make_gold(round, items=3)
    ana = make_user()
    counts, kinds = [opened(ana)], []
    while (slot := lease_slot(ana, Track.IDENTITY)) is not None:
        held = opened(ana)
        assert held[0] == counts[-1][0], "holding a pair changes nothing on its track"
        kinds.append(slot.pair.is_gold)
        judge(slot, "first")
        counts.append(opened(ana))
        assert counts[-1][1] == held[1], "the other track is less by a pair as soon as it is met"
    steady = 2 * QUESTIONS - 1
    falls = [tuple(np.subtract(*two)) for two in itertools.pairwise(counts[: steady + 1])]
    assert any(kinds[:steady]) and not all(kinds[:steady]) and set(falls) == {(1, 1)}
    assert counts[-1][0] == 0 and min(count for count, _ in counts[:-1]) == 1


def opened(person: User) -> tuple[int, ...]:
    return tuple(open_pairs_for(person, track) for track in (Track.IDENTITY, Track.CONTROLLABILITY))


def test_gold_that_is_given_back_comes_again_as_any_pair_and_goes_to_nobody_else(round, always):
    make_gold(round, items=1)
    GoldPair.objects.update(budget=1)
    ana = make_second(make_user())
    given = next_slot(ana)
    assert given.pair.is_gold and given.lease is not None
    assert release_slot(ana, given.lease) and not release_slot(ana, given.lease)
    again = next_slot(ana)
    assert again == given and again.lease != given.lease and again.first_side == given.first_side
    assert again.lease is not None and release_slot(ana, again.lease)
    Slot.objects.filter(pk=given.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    others = [make_second(make_user()) for _ in range(3)]
    assert all(next_slot(person).pair != given.pair for person in others), "it is past its budget"
    release_all(ana)
    assert not Slot.objects.filter(pk=given.pk).exists()
    assert all(next_slot(person).pair != given.pair for person in others)


def test_a_usual_pair_that_is_given_back_comes_again_from_the_same_side(round):
    ana = make_user()
    slots = []
    for _ in range(6):
        slots.append(next_slot(ana))
        assert release_slot(ana, slots[-1].lease)
    assert len({(slot.pk, slot.first_side) for slot in slots}) == 1


def test_nobody_meets_a_video_both_as_gold_and_otherwise(round, monkeypatch):
    """Equal pictures would tell which pair was gold; only where nothing else is left they are given."""
    draws = np.random.default_rng(5)
    monkeypatch.setattr("annotate.judging.slots.is_golds_turn", lambda: bool(draws.random() < 0.5))
    make_gold(round, items=2)
    ana, met = make_user(), []
    for _ in range(QUESTIONS):
        slot = next_slot(ana)
        met.append(slot.pair)
        judge(slot, "first")
    shown = [
        {
            sample.copy_of.instance_id if sample.copy_of else sample.instance_id
            for sample in (pair.first, pair.second)
        }
        for pair in met
    ]
    assert sum(pair.is_gold for pair in met) >= 2
    assert all(not one & other for one, other in itertools.combinations(shown, 2))


def test_the_consent_of_an_impostor_is_asked(round, always):
    make_gold(round, items=2)
    GoldPair.objects.exclude(kind=GoldKind.IMPOSTOR).delete()
    ana = make_second(make_user())
    copies = VideoSample.objects.filter(pairs_as_first__gold__isnull=False) | VideoSample.objects.filter(
        pairs_as_second__gold__isnull=False
    )
    lent = [copy.copy_of.instance.group for copy in copies if copy.copy_of.instance_id != copy.instance_id]
    assert lent
    for group in lent:
        group.consent_expires_on = timezone.localdate() - timedelta(days=1)
        group.save()
    slot = lease_slot(ana, Track.IDENTITY)
    assert slot is None or not slot.pair.is_gold
