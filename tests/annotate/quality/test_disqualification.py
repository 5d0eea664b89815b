"""Votes of disqualified people stay and do not count, until it is lifted."""

from __future__ import annotations

import threading
from dataclasses import asdict
from uuid import uuid4

import pytest
from django.db import connection

from annotate.exports.freezing import export_round
from annotate.judging.assignment_queries import no_pair
from annotate.judging.judgments import LeaseLostError, submit_judgment
from annotate.judging.queries import is_disqualified
from annotate.judging.slots import lease_slot
from annotate.models import AuditEvent, Consensus, Disqualification, Judgment, PreferencePair, Slot, User
from annotate.quality import queries as quality_queries
from annotate.quality.disqualification import QualityError, disqualify, lift, rebuild_export, settle
from annotate.rounds.funnel_queries import round_funnel
from rlhf.export.rule import ExportRule
from rlhf.records import JointState, Track, Verdict
from rlhf.votes.stopping import Rule
from tests.annotate.planted_votes import dominant_but_for, side_of
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import next_slot

pytestmark = pytest.mark.django_db


def states(round) -> set[str]:
    return set(PreferencePair.objects.filter(pair__round=round).values_list("joint_state", flat=True))


def test_votes_of_a_disqualified_person_stay_and_do_not_count(lea, ana):
    round = dominant_but_for(ana)
    assert states(round) == {JointState.DOMINANT}
    before = Judgment.objects.count()
    disqualification = disqualify(ana, "answers without looking", lea)
    assert settle(disqualification.pk) == 2
    assert Judgment.objects.count() == before
    assert states(round) == {JointState.UNDECIDED}
    assert not Consensus.objects.filter(track=Track.IDENTITY).exists()
    # A vote is asked for where one is missing, and settling again asks for none.
    assert Slot.objects.filter(judged_at=None).count() == 2
    assert settle(disqualification.pk) == 0
    Disqualification.objects.update(settled_at=None, last_pair=0)
    assert settle(disqualification.pk) == 2
    assert Slot.objects.filter(judged_at=None).count() == 2
    other = make_user()
    for _ in round.pairs.all():
        slot = next_slot(other)
        submit_judgment(other, slot.lease, side_of(slot, Verdict.FIRST), idempotency_key=uuid4())
    assert states(round) == {JointState.DOMINANT}
    assert AuditEvent.objects.filter(verb="disqualify", row_id=ana.pk).exists()


def test_a_round_that_asks_one_by_one_asks_again_by_its_rule(lea, ana):
    round = make_round(stopping=asdict(Rule()))
    pair = make_pair(round)
    people = [ana, *(make_user() for _ in range(9))]
    for person in people:
        for track in Track:
            if (slot := lease_slot(person, track)) is not None:
                choice = side_of(slot, Verdict.FIRST)
                submit_judgment(person, slot.lease, choice, idempotency_key=uuid4())
    before = PreferencePair.objects.get()
    assert before.stop == "dominant" and not Slot.objects.filter(judged_at=None).exists()
    disqualification = disqualify(ana, "answers without looking", lea)
    settle(disqualification.pk)
    after = PreferencePair.objects.get()
    assert after.stop == "" and after.joint_state == JointState.UNDECIDED
    (asked,) = Slot.objects.filter(judged_at=None)
    assert asked.track == Slot.objects.get(pair=pair, annotator=ana).track
    settle(disqualification.pk)
    assert Slot.objects.filter(judged_at=None).count() == 1


def test_a_killed_settling_goes_on_where_it_stopped(lea, ana):
    round = dominant_but_for(ana, num_pairs=3)
    disqualification = disqualify(ana, "answers without looking", lea)
    first = round.pairs.order_by("pk")[0]
    Disqualification.objects.update(last_pair=first.pk)
    assert settle(disqualification.pk) == 2
    disqualification.refresh_from_db()
    assert disqualification.settled_at is not None


def test_lifting_it_makes_them_count_again(lea, ana):
    round = dominant_but_for(ana)
    disqualification = disqualify(ana, "a mistake", lea)
    settle(disqualification.pk)
    with pytest.raises(QualityError, match="no reason was given"):
        lift(disqualification, " ", lea)
    lift(disqualification, "it was another person", lea)
    settle(disqualification.pk)
    assert states(round) == {JointState.DOMINANT}
    assert not Slot.objects.filter(judged_at=None).exists()
    assert not is_disqualified(ana)
    with pytest.raises(QualityError, match="lifted already"):
        lift(disqualification, "again", lea)


def test_a_disqualified_person_is_given_nothing_and_nothing_is_taken(lea, ana):
    make_pair()
    slot = next_slot(ana)
    disqualify(ana, "answers without looking", lea)
    assert lease_slot(ana, Track.IDENTITY) is None
    assert "not counted" in no_pair(ana, Track.IDENTITY).message
    with pytest.raises(LeaseLostError):
        submit_judgment(ana, slot.lease, "left", idempotency_key=uuid4())
    assert next_slot(make_user()).pk == slot.pk
    with pytest.raises(QualityError, match="disqualified already"):
        disqualify(ana, "twice", lea)
    with pytest.raises(QualityError, match="no reason"):
        disqualify(make_user(), "", lea)


def test_an_export_is_made_again_without_them_and_the_old_one_stays(lea, ana):
    round = dominant_but_for(ana)
    old = export_round(round)
    (reached,) = quality_queries.reached_by(ana)
    assert reached.export == old and reached.num_pairs == 2
    with pytest.raises(QualityError, match="disqualify them first"):
        rebuild_export(old, ana, lea)
    disqualification = disqualify(ana, "answers without looking", lea)
    with pytest.raises(QualityError, match="still being resolved"):
        rebuild_export(old, ana, lea)
    settle(disqualification.pk)
    new = rebuild_export(old, ana, lea)
    assert (old.num_pairs, new.num_pairs) == (2, 0)
    old.refresh_from_db()
    assert old.superseded.by_export == new and not old.withdrawn
    with pytest.raises(QualityError, match="superseded already"):
        rebuild_export(old, ana, lea)
    assert round_funnel(round).exported_pairs == 0


def test_an_export_is_made_again_by_its_own_rule(lea, ana):
    round = dominant_but_for(ana)
    old = export_round(round, rule=ExportRule.IDENTITY)
    settle(disqualify(ana, "answers without looking", lea).pk)
    assert rebuild_export(old, ana, lea).rule == ExportRule.IDENTITY


@pytest.mark.django_db(transaction=True)
def test_votes_given_in_the_very_moment_do_not_count_either():
    """One judges pair after pair while a lead leaves them out: no pair rests on what was stored."""
    lead, person, other = make_user(role=User.Role.LEAD), make_user(), make_user()
    round, instance = make_round(votes_wanted=2), make_instance(num_references=1)
    for _ in range(12):
        make_pair(round, instance)
    for _ in range(12):
        submit_judgment(other, next_slot(other).lease, "tie", idempotency_key=uuid4())
    begun = threading.Event()

    def judge() -> None:
        try:
            while (slot := lease_slot(person, Track.IDENTITY)) is not None:
                submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
                begun.set()
        except LeaseLostError:
            pass
        finally:
            begun.set()
            connection.close()

    thread = threading.Thread(target=judge)
    thread.start()
    begun.wait()
    disqualification = disqualify(person, "answers without looking", lead)
    settle(disqualification.pk)
    thread.join()
    given = Slot.objects.filter(annotator=person).exclude(judged_at=None).count()
    assert given >= 1
    assert not Consensus.objects.exists()
    # Every pair waits for one vote on this track, beside the two on the other.
    waiting = Slot.objects.filter(track=Track.IDENTITY, judged_at=None)
    assert waiting.count() == waiting.values("pair").distinct().count() == 12
