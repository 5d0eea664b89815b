"""Fifty people at once, some too slow and some who leave: no vote is lost, doubled or given to two."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import Count

from annotate.judging.assignment_queries import wanted_slots
from annotate.judging.judgments import LeaseLostError, submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import Exposure, Judgment, Slot, User
from bench.web_rows import fill_round
from rlhf.records import Track
from tests.factories import make_user

PEOPLE = 50
#: Six slots each.
PAIRS = 834
ANSWERS_EACH = 30
#: People look at a pair for up to twice as long, so about half of all leases run out in their hands.
LEASE_S = 0.1


@dataclass
class Client:
    """One person's program, and what it was told."""

    person: User
    rng: random.Random
    stored: list[tuple[UUID, int]] = field(default_factory=list)
    num_lost: int = 0

    def run(self, start: threading.Barrier) -> None:
        try:
            start.wait()
            for _ in range(ANSWERS_EACH):
                self.judge(self.rng.choice(tuple(Track)))
            # It dies with a pair in its hands.
            lease_slot(self.person, Track.IDENTITY)
        finally:
            connection.close()

    def judge(self, track: Track) -> None:
        slot = lease_slot(self.person, track)
        if slot is None or slot.lease is None:  # Five leases in a row were over before they could be read.
            return
        time.sleep(self.rng.uniform(0, 2 * LEASE_S))
        key = uuid4()
        try:
            submit_judgment(self.person, slot.lease, "left", idempotency_key=key)
        except LeaseLostError:
            self.num_lost += 1
        else:
            self.stored.append((key, slot.pk))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_fifty_people_on_five_thousand_slots(settings):
    settings.LEASE_S = LEASE_S
    connection.ensure_connection()
    num_slots = fill_round(connection.connection, "crowd", PAIRS).num_slots
    assert num_slots > 5000
    clients = [Client(make_user(), random.Random(number)) for number in range(PEOPLE)]
    start = threading.Barrier(PEOPLE)
    with ThreadPoolExecutor(PEOPLE) as threads:
        list(threads.map(lambda client: client.run(start), clients))

    # Every vote that somebody was told is stored is stored once, as theirs, and there is no other.
    told = {(key, slot, client.person.pk) for client in clients for key, slot in client.stored}
    assert set(Judgment.objects.values_list("idempotency_key", "slot", "slot__annotator")) == told
    num_lost = sum(client.num_lost for client in clients)
    assert num_lost > 0 and len(told) > PEOPLE
    # A slot has one judgment and is judged, or it has none and is open.
    counts = Slot.objects.annotate(given=Count("judgments")).values_list("judged_at", "given")
    assert {(judged_at is not None, given) for judged_at, given in counts} == {(True, 1), (False, 0)}
    # Nobody met both tracks of a pair, whether they answered or not.
    assert (
        not Slot.objects.values("pair", "annotator")
        .exclude(annotator=None)
        .annotate(tracks=Count("track"))
        .filter(tracks__gt=1)
    )
    assert not Exposure.objects.values("pair", "annotator").annotate(times=Count("id")).filter(times__gt=1)
    # What the dead left behind is for others once its time is over.
    time.sleep(2 * LEASE_S)
    assert wanted_slots(Track.IDENTITY).exclude(annotator=None).exists()
    wanted_slots(Track.IDENTITY).filter(annotator=None).delete()
    assert lease_slot(make_user(), Track.IDENTITY) is not None
