"""Who may ask for a round, who votes at all, and how far apart the two tracks of a person are."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.judging.slots import RoundNotForChoosingError, lease_slot
from annotate.models import AuditEvent, Round, Slot, User
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_group, make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db
LEASE = "/api/tracks/identity/lease/"


def judged(slot: Slot | None) -> Slot:
    assert slot is not None
    Slot.objects.filter(pk=slot.pk).update(judged_at=timezone.now())
    return slot


def test_nobody_asks_for_a_round_that_is_not_open_for_choosing(ana):
    closed, comparison = make_pair().round, make_pair(make_round(kind="comparison")).round
    ended = make_pair(make_round(may_be_chosen=True, state="closed")).round
    said = set()
    for number in (closed.pk, comparison.pk, ended.pk, 10**9):
        answer = machine_of(ana).post(LEASE, {"round": number}, format="json")
        assert answer.status_code == 422
        said.add(answer.json()["detail"].replace(str(number), "N"))
    # A round that is not there, a comparison and any other are told apart by nothing.
    assert said == {"round N is not open for choosing; leave it out, and you are given what comes next"}
    assert not Slot.objects.exclude(annotator=None).exists()
    with pytest.raises(RoundNotForChoosingError):
        lease_slot(ana, Track.IDENTITY, comparison.pk)


def test_a_round_that_a_lead_opened_for_choosing_can_be_asked_for(ana, lea):
    make_pair()
    wanted = make_pair().round
    assert (
        machine_of(ana)
        .put(f"/api/rounds/{wanted.pk}/choosing/", {"may_be_chosen": True}, format="json")
        .status_code
        == 404
    )
    opened = machine_of(lea).put(f"/api/rounds/{wanted.pk}/choosing/", {"may_be_chosen": True}, format="json")
    assert opened.json() == {"may_be_chosen": True}
    assert AuditEvent.objects.filter(verb="let_choose_round", actor=lea).count() == 1
    answer = machine_of(ana).post(LEASE, {"round": wanted.pk}, format="json")
    assert Slot.objects.get(lease=answer.json()["lease"]).round == wanted


def test_page_and_command_open_and_close_it_too(lea, ana, capsys):
    round = make_pair().round
    page = f"/rounds/{round.pk}/"
    assert "Open it for choosing" in browser_of(lea).get(page).content.decode()
    assert browser_of(ana).post(f"{page}choosing/", {"may_be_chosen": "on"}).status_code == 404
    browser_of(lea).post(f"{page}choosing/", {"may_be_chosen": "on"})
    assert "Close it for choosing" in browser_of(lea).get(page).content.decode()
    call_command("let_choose", round.name, "--not", "--json")
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert not Round.objects.get(pk=round.pk).may_be_chosen
    with pytest.raises(CommandError, match="no round 'unknown'"):
        call_command("let_choose", "unknown")


def test_a_comparison_is_never_chosen(lea):
    round = make_round(kind="comparison")
    refused = machine_of(lea).put(f"/api/rounds/{round.pk}/choosing/", {"may_be_chosen": True}, format="json")
    assert refused.status_code == 409 and "compares two models" in refused.json()["detail"]
    with pytest.raises(IntegrityError, match="comparisons_are_not_chosen"), transaction.atomic():
        Round.objects.filter(pk=round.pk).update(may_be_chosen=True)


def test_leads_see_the_models_so_they_do_not_vote(lea, ana, settings):
    make_pair()
    answer = machine_of(lea).post(LEASE, {}, format="json")
    assert (answer.status_code, answer.headers["No-Pair-Reason"]) == (204, "leads_do_not_vote")
    for page in ("/", "/judge/identity/"):
        assert "do not vote" in browser_of(lea).get(page).content.decode()
    settings.LEADS_MAY_VOTE = True
    assert machine_of(lea).post(LEASE, {}, format="json").status_code == 200


def test_who_becomes_a_lead_may_still_answer_what_they_hold(ana):
    make_pair()
    given = machine_of(ana).post(LEASE, {}, format="json").json()
    User.objects.filter(pk=ana.pk).update(role=User.Role.LEAD)
    lead = User.objects.get(pk=ana.pk)
    sent = {"choice": "left", "idempotency_key": "0b0cf0f6-8f6f-4bb1-a1ce-90e8b3c0e0c5"}
    assert (
        machine_of(lead).post(f"/api/leases/{given['lease']}/judgment/", sent, format="json").status_code
        == 201
    )


def others(round: Round, count: int) -> None:
    for _ in range(count):
        make_pair(round, make_instance(num_references=1))


def in_order(round: Round) -> None:
    """The queue in the order of pairs."""
    for place, pair in enumerate(round.pairs.order_by("pk")):
        pair.slots.update(random_key=place / 1000)


def test_nobody_meets_a_person_on_the_other_track_within_so_many_pairs(ana, settings):
    settings.SAME_PERSON_OTHER_TRACK_GAP = 3
    round, group = make_round(), make_group()
    first = make_pair(round, make_instance(group, num_references=1))
    second = make_pair(round, make_instance(group, num_references=1))
    others(round, 5)
    in_order(round)
    assert judged(lease_slot(ana, Track.IDENTITY)).pair == first
    met = [judged(lease_slot(ana, Track.CONTROLLABILITY)).pair for _ in range(4)]
    # After three pairs the first one lies far enough back; the queue comes round to the person's second pair.
    assert second not in met[:2] and all(pair.instance.group != group for pair in met[:2])
    while (slot := lease_slot(ana, Track.CONTROLLABILITY)) is not None:
        met.append(judged(slot).pair)
    assert second in met and first not in met
    assert [pair.instance.group == group for pair in met[:3]].count(True) == 0


def test_where_only_such_pairs_are_left_nothing_is_given_and_the_page_says_why(ana, settings):
    settings.SAME_PERSON_OTHER_TRACK_GAP = 3
    round, group = make_round(), make_group()
    make_pair(round, make_instance(group, num_references=1))
    make_pair(round, make_instance(group, num_references=1))
    assert lease_slot(ana, Track.IDENTITY) is not None
    assert lease_slot(ana, Track.CONTROLLABILITY) is None
    page = browser_of(ana).get("/judge/controllability/").content.decode()
    assert 'data-reason="same_person_other_track"' in page and "your last 3 pairs" in page
    said = machine_of(ana).get("/api/tracks/controllability/lease/").json()
    assert (said["open"], said["reason"]) == (0, "same_person_other_track")
    # An expired lease does not make anybody forget; other people may have the pair.
    Slot.objects.exclude(annotator=None).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    assert lease_slot(ana, Track.CONTROLLABILITY) is None
    assert lease_slot(make_user(), Track.CONTROLLABILITY) is not None
    settings.SAME_PERSON_OTHER_TRACK_GAP = 0
    assert lease_slot(ana, Track.CONTROLLABILITY) is not None


def test_simulated_annotators_remember_nothing(settings):
    settings.SAME_PERSON_OTHER_TRACK_GAP = 3
    round, group = make_round(), make_group()
    for _ in range(2):
        make_pair(round, make_instance(group, num_references=1))
    voter = make_user(is_simulated=True)
    assert lease_slot(voter, Track.IDENTITY, round.pk) is not None, (
        "their votes are marked, so they may choose"
    )
    assert lease_slot(voter, Track.CONTROLLABILITY, round.pk) is not None
