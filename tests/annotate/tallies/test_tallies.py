"""Kept counts are what a recount finds, whatever a day of work does to the rows."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from annotate.judging.judgments import submit_judgment
from annotate.judging.queries import own_counts
from annotate.models import (
    Consensus,
    CurationDecision,
    Judgment,
    PreferencePair,
    Reference,
    Round,
    Slot,
    Subject,
    Tally,
    VideoSample,
)
from annotate.people.queries import curation_counts, usable_references
from annotate.rounds.funnel_queries import round_funnel
from annotate.tallies.queries import counts_of, votes_of_people
from annotate.tallies.recount import correct, differences, fold
from rlhf.records import JointState, Track, Verdict
from tests.annotate.day_of_work import Day
from tests.factories import make_pair, make_round, make_user
from tests.votes import next_slot, vote

ACTS = 120
EVERY = 10


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(2))
def test_after_any_day_of_work_counts_are_those_of_the_rows(seed: int) -> None:
    day = Day(random.Random(seed))
    for number in range(ACTS):
        day.act()
        if number % EVERY == 0:
            assert differences() == [], f"after act {number}"
    assert differences() == []
    before = [round_funnel(round) for round in day.rounds]
    fold()
    assert differences() == [] and [round_funnel(round) for round in day.rounds] == before
    for round in day.rounds:
        check_round(round)
    for person in day.people:
        judged = Slot.objects.filter(annotator=person, judged_at__isnull=False)
        assert own_counts(person) == {str(track): judged.filter(track=track).count() for track in Track}
    check_references()


def check_round(round: Round) -> None:
    """The funnel against the rows, by other statements than those that keep it."""
    funnel = round_funnel(round)
    pairs = list(round.pairs.filter(gold_verdicts__isnull=True))
    videos = VideoSample.objects.filter(
        pk__in={key for pair in pairs for key in (pair.first_id, pair.second_id)}
    )
    slots = list(Slot.objects.filter(pair__in=pairs))
    votes = [slot for slot in slots if slot.judged_at is not None]
    of_pair = {pair.pk: [slot.judged_at for slot in slots if slot.pair_id == pair.pk] for pair in pairs}
    assert (funnel.pairs, funnel.instances) == (len(pairs), len({pair.instance_id for pair in pairs}))
    assert funnel.pairs_withheld == sum(bool(pair.prompt_unread) for pair in pairs)
    assert (funnel.samples_wanted, funnel.samples) == (videos.count(), videos.exclude(path="").count())
    assert funnel.samples_failed == videos.exclude(error="").count()
    assert funnel.judged_in_full == sum(bool(given) and all(given) for given in of_pair.values())
    for track in Track:
        assert funnel.votes_wanted[track] == sum(slot.track == track for slot in slots)
        assert funnel.judgments[track] == sum(slot.track == track for slot in votes)
        assert funnel.resolved[track] == Consensus.objects.filter(pair__in=pairs, track=track).count()
    for state in JointState:
        assert (
            funnel.joint_states[state]
            == PreferencePair.objects.filter(pair__in=pairs, joint_state=state).count()
        )
    people = {slot.annotator_id for slot in votes}
    of_people = {key: sum(slot.annotator_id == key for slot in votes) for key in people}
    assert votes_of_people([round.pk])[round.pk] == of_people
    kept = counts_of(Subject.ROUND, [round.pk])[round.pk]
    judgments = Judgment.objects.filter(slot__round=round)
    assert kept["judgments.people"] == judgments.filter(is_simulated=False).count()
    assert kept["judgments.simulated"] == judgments.filter(is_simulated=True).count()


def check_references() -> None:
    counts = curation_counts()
    assert counts["usable"] == usable_references().count()
    assert counts["total"] == Reference.objects.count()
    newest = CurationDecision.objects.order_by("reference_id", "-id").distinct("reference_id")
    assert counts["by_hand"] == sum(decision.choice != "automatic" for decision in newest)
    rejected = Reference.objects.filter(curation="done")
    assert (
        counts["reasons"].get("small_face", 0)
        == rejected.filter(reject_reasons__contains=["small_face"]).count()
    )


@pytest.mark.django_db
def test_what_was_written_past_the_triggers_is_found_and_corrected(capsys) -> None:
    pair = make_pair()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Slot.objects.filter(pair=pair, track=Track.IDENTITY).delete()
        cursor.execute("SET LOCAL session_replication_role = origin")
    wrong = f"wanted.identity of round {pair.round_id}: 1 kept, 0 counted"
    for arguments, corrected in ((["--check"], 0), ([], 1), ([], 0)):
        call_command("recount", "--json", *arguments)
        told = json.loads(capsys.readouterr().out)
        assert told["corrected"] == corrected
        assert told["wrong"] == ([wrong] if corrected or arguments else [])
    assert differences() == [] and correct() == 0


@pytest.mark.django_db
def test_a_round_that_is_deleted_leaves_no_count() -> None:
    pair = make_pair()
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    kept = Tally.objects.filter(subject=Subject.ROUND, subject_id=pair.round_id)
    assert kept.exists()
    Slot.objects.filter(pair=pair, judged_at=None).delete()
    fold()
    assert {row.name: row.amount for row in kept.filter(name__startswith="state")} == {"state.undecided": 1}


@pytest.mark.django_db(transaction=True)
def test_people_who_vote_at_once_and_a_fold_between_them_lose_no_count() -> None:
    """Two votes that end a pair at one moment: each knows whether it was the last."""
    round = make_round(votes_wanted=1)
    pairs = [make_pair(round) for _ in range(6)]
    slots = [next_slot(make_user(), track) for track in Track for _ in pairs]
    start = threading.Barrier(len(slots) + 1)

    def submit(slot: Slot) -> None:
        try:
            start.wait()
            assert slot.annotator is not None and slot.lease is not None
            submit_judgment(slot.annotator, slot.lease, "left", idempotency_key=uuid4())
        finally:
            connection.close()

    def fold_all_the_time() -> None:
        try:
            start.wait()
            for _ in range(20):
                fold()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(slots) + 1) as threads:
        tasks = [threads.submit(submit, slot) for slot in slots] + [threads.submit(fold_all_the_time)]
        for task in tasks:
            task.result()
    funnel = round_funnel(round)
    assert (funnel.judged_in_full, funnel.open_votes) == (len(pairs), 0)
    assert differences() == []
