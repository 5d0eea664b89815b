"""Rounds are paused, closed and reopened by a lead; nothing is given out meanwhile, and nothing is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.judging.assignment_queries import no_pair
from annotate.judging.judgments import submit_judgment
from annotate.judging.no_pair import Reason
from annotate.judging.slots import lease_slot
from annotate.loop.loop import advance_round
from annotate.models import (
    AuditEvent,
    GoldKind,
    GoldPair,
    Judgment,
    Reference,
    Round,
    RoundState,
    Slot,
    Stage,
    VideoPair,
)
from annotate.rounds.rounds import set_round_state
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_instance, make_pair, make_round
from tests.votes import vote

pytestmark = pytest.mark.django_db

SHUT = [RoundState.PAUSED, RoundState.CLOSED]


@pytest.fixture
def pair() -> VideoPair:
    return make_pair(make_round(votes_wanted=2), make_instance(num_references=2))


def by_page(round: Round, state: str, lead) -> None:
    answer = browser_of(lead).post(f"/rounds/{round.pk}/state/", {"to": state})
    assert answer.headers["Location"] == f"/rounds/{round.pk}/"


def by_api(round: Round, state: str, lead) -> None:
    answer = machine_of(lead).put(f"/api/rounds/{round.pk}/state/", {"state": state}, format="json")
    assert answer.json() == {"id": round.pk, "state": state, "changed": True}


def by_command(round: Round, state: str, lead) -> None:
    call_command("set_round_state", round.name, state)


@pytest.mark.parametrize("entry_point", [by_page, by_api, by_command])
def test_each_entry_point_closes_a_round_and_opens_it_again(entry_point, pair, lea, ana):
    for state, verb in (("paused", "pause_round"), ("closed", "close_round")):
        entry_point(pair.round, state, lea)
        pair.round.refresh_from_db()
        assert (pair.round.state, pair.round.is_open) == (state, False)
        assert lease_slot(ana, Track.IDENTITY) is None
        assert AuditEvent.objects.latest("id").verb == verb
    entry_point(pair.round, "open", lea)
    assert AuditEvent.objects.latest("id").verb == "reopen_round"
    assert lease_slot(ana, Track.IDENTITY).pair == pair


def test_doing_it_twice_changes_nothing(pair, lea):
    assert set_round_state(pair.round, RoundState.CLOSED, lea)
    assert not set_round_state(pair.round, RoundState.CLOSED, lea)
    assert AuditEvent.objects.filter(verb="close_round").count() == 1


def test_only_leads_come_to_the_doors(pair, ana):
    assert browser_of(ana).get(f"/rounds/{pair.round_id}/state/?to=closed").status_code == 404
    address = f"/api/rounds/{pair.round_id}/state/"
    assert machine_of(ana).put(address, {"state": "closed"}, format="json").status_code == 404
    assert Round.objects.get().is_open


def test_an_unknown_state_is_refused(pair, lea):
    assert browser_of(lea).get(f"/rounds/{pair.round_id}/state/?to=gone").status_code == 404
    answer = machine_of(lea).put(f"/api/rounds/{pair.round_id}/state/", {"state": "gone"}, format="json")
    assert answer.status_code == 400
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("set_round_state", pair.round.name, "gone")
    with pytest.raises(IntegrityError, match="state_known"), transaction.atomic():
        Round.objects.update(state="gone")


def test_the_page_says_in_plain_words_what_will_happen(pair, lea, ana):
    lease_slot(ana, Track.IDENTITY)
    page = browser_of(lea).get(f"/rounds/{pair.round_id}/state/?to=closed").content.decode()
    assert "4 votes are still wanted" in page and "1 person holds 1 pair now" in page
    assert "Their answers are still taken" in page and "Close the round" in page
    assert Round.objects.get().is_open, "a look changes nothing"
    set_round_state(pair.round, RoundState.PAUSED)
    page = browser_of(lea).get(f"/rounds/{pair.round_id}/").content.decode()
    assert "paused" in page and "?to=open" in page and "?to=closed" in page


@pytest.mark.parametrize("state", SHUT)
def test_a_pair_that_somebody_holds_is_still_answered_however_late(state, pair, ana, ben):
    held = lease_slot(ana, Track.IDENTITY)
    set_round_state(pair.round, state)
    Slot.objects.filter(pk=held.pk).update(lease_expires_at=timezone.now() - timedelta(days=3))
    assert lease_slot(ben, Track.IDENTITY) is None, "nobody else can take it"
    submit_judgment(ana, held.lease, "left", idempotency_key=uuid4())
    assert Judgment.objects.get().slot == held


@pytest.mark.parametrize("state", SHUT)
def test_gold_is_given_out_no_more_either_and_its_leases_are_taken(state, pair, ana, ben, settings):
    gold = make_pair(pair.round, pair.instance, gold_verdicts={"identity": "first"})
    gold.slots.all().delete()
    Reference.objects.update(curation="done")
    GoldPair.objects.create(pair=gold, kind=GoldKind.DEGRADED, track=Track.IDENTITY, budget=9)
    for person in (ana, ben):
        first = lease_slot(person, Track.IDENTITY)
        submit_judgment(person, first.lease, "left", idempotency_key=uuid4())
    make_pair(pair.round)  # gold takes the turn of a pair that waits
    settings.GOLD_EVERY = 1
    held = lease_slot(ana, Track.IDENTITY)
    assert held.pair == gold
    set_round_state(pair.round, state)
    assert lease_slot(ben, Track.IDENTITY) is None
    submit_judgment(ana, held.lease, "left", idempotency_key=uuid4())
    assert held.judgments.exists()


@pytest.mark.parametrize("state", SHUT)
def test_the_database_gives_out_no_pair_of_a_round_that_is_shut(state, pair, ana):
    set_round_state(pair.round, state)
    slot = pair.slots.first()
    leased = {
        "annotator": ana,
        "lease": uuid4(),
        "first_side": "left",
        "left_surplus": 1,
        "leased_at": timezone.now(),
        "lease_expires_at": timezone.now(),
    }
    with pytest.raises(IntegrityError, match="gives out no pairs"), transaction.atomic():
        Slot.objects.filter(pk=slot.pk).update(**leased)
    Round.objects.update(state=RoundState.OPEN)
    Slot.objects.filter(pk=slot.pk).update(**leased)
    Round.objects.update(state=state)
    Slot.objects.filter(pk=slot.pk).update(lease_expires_at=timezone.now())  # keeping one is no giving


def test_a_paused_round_waits_and_a_closed_one_goes_on_with_what_it_has(pair):
    for track in Track:
        for _ in range(2):
            vote(pair, track, Verdict.FIRST)
    make_pair(pair.round, pair.instance)
    set_round_state(pair.round, RoundState.PAUSED)
    step = advance_round(pair.round)
    assert step.is_waiting_for_people and step.message.startswith(
        "paused, so nobody is asked for 2 on identity"
    )
    set_round_state(pair.round, RoundState.CLOSED)
    step = advance_round(pair.round)
    assert step.run is not None and step.run.stage == Stage.DPO and step.run.export.num_pairs == 1


def test_who_finds_no_pair_in_a_paused_round_is_told_so(pair, ana):
    set_round_state(pair.round, RoundState.PAUSED)
    assert no_pair(ana, Track.IDENTITY).code == Reason.ROUND_PAUSED
    set_round_state(pair.round, RoundState.CLOSED)
    assert no_pair(ana, Track.IDENTITY).code != Reason.ROUND_PAUSED


def test_the_command_says_what_it_did(pair, capsys):
    call_command("set_round_state", str(pair.round_id), "closed", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "round": pair.round.name,
        "state": "closed",
        "changed": True,
    }
