"""Numbers for leads, from votes that were planted through the services."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from annotate.exports.freezing import export_round
from annotate.judging.judgments import submit_judgment
from annotate.models import AnnotatorFlag, AuditEvent, GoldKind, GoldPair, Slot
from annotate.quality import queries as quality_queries
from annotate.quality import tasks as quality_tasks
from annotate.quality.disqualification import QualityError, disqualify, review_flag
from annotate.quality.vote_statistics import compute_round
from annotate.rounds import progress_queries
from annotate.rounds.funnel_queries import round_funnel
from rlhf.records import Track, Verdict
from rlhf.votes.yield_plan import PilotPair, plan_yield
from tests.annotate.planted_votes import dominant_but_for, guessing, judge_all, left, side_of, truthful
from tests.factories import make_pair, make_round, make_user
from tests.votes import next_slot, vote

pytestmark = pytest.mark.django_db


def figures_of(round, track: Track = Track.IDENTITY) -> dict:
    figures = quality_queries.newest_figures(round, is_simulated=False)
    assert figures is not None
    return figures.figures[str(track)]


@pytest.mark.slow
def test_a_left_clicker_and_a_guesser_are_found():
    good = [make_user(f"good-{number}") for number in range(4)]
    clicker, guesser = make_user("clicker"), make_user("guesser")
    habits = dict.fromkeys(good, truthful) | {clicker: left, guesser: guessing(3)}
    round = make_round(votes_wanted=len(habits))
    judge_all(round, habits, num_pairs=40)
    assert [str(one) for one in compute_round(round)] == [f"figures of {round}, people"]
    found = {(flag.annotator, flag.kind) for flag in AnnotatorFlag.objects.all()}
    assert {(clicker, "side"), (guesser, "disagrees")} <= found
    assert not [person for person, _ in found if person in good]
    people = figures_of(round)["people"]
    assert people[str(clicker.pk)]["left_share"]["value"] == 1.0
    low, high = (people[str(good[0].pk)]["left_share"][end] for end in ("low", "high"))
    assert low < 0.5 < high
    assert people[str(good[0].pk)]["coverage"] == 0.5
    # Nobody judged the other track.
    assert figures_of(round, Track.CONTROLLABILITY)["agreement"]["alpha"]["reason"] == (
        "undefined because no pair has two votes"
    )


@pytest.mark.slow
def test_two_who_copy_each_other_are_found():
    good, copies = [make_user() for _ in range(3)], [make_user() for _ in range(2)]
    habits = dict.fromkeys(good, truthful) | dict.fromkeys(copies, guessing(2))
    round = make_round(votes_wanted=len(habits))
    judge_all(round, habits, num_pairs=30)
    compute_round(round)
    together = AnnotatorFlag.objects.get(kind="collusion")
    assert {together.annotator, together.partner} == set(copies)
    assert [flag.kind for flag in quality_queries.flags_of(copies[1]) if flag.partner] == ["collusion"]


def test_the_same_votes_are_computed_once_and_a_reviewed_flag_rests(lea):
    good, clicker = make_user(), make_user()
    round = make_round(votes_wanted=2)
    judge_all(round, {good: truthful, clicker: left}, num_pairs=20)
    assert len(compute_round(round)) == 1
    assert compute_round(round) == []
    flag = AnnotatorFlag.objects.get(kind="side")
    review_flag(flag, "talk", "she had the keys mixed up", lea)
    assert AuditEvent.objects.latest("id").verb == "review_flag"
    with pytest.raises(QualityError, match="reviewed already"):
        review_flag(flag, "fine", "", lea)
    with pytest.raises(QualityError, match="outcome is 'ban'"):
        review_flag(flag, "ban", "", lea)
    judge_all(round, {good: truthful, clicker: left}, num_pairs=1)
    assert len(compute_round(round)) == 1
    assert AnnotatorFlag.objects.filter(kind="side", outcome="").count() == 0
    judge_all(round, {good: truthful, clicker: left}, num_pairs=19)
    compute_round(round)
    assert AnnotatorFlag.objects.get(kind="side", outcome="").num_votes == 40
    with pytest.raises(IntegrityError, match="one_open_flag_of_a_kind"), transaction.atomic():
        AnnotatorFlag.objects.filter(pk=flag.pk).update(outcome="", reviewed_by=None, reviewed_at=None)


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ([Verdict.FIRST, Verdict.FIRST], "every vote is first, so chance cannot be told from agreement"),
        ([Verdict.TIE, Verdict.TIE], "every vote is tie, so chance cannot be told from agreement"),
        ([Verdict.FIRST], "no pair has two votes"),
    ],
)
def test_agreement_says_why_it_is_undefined(verdicts, reason):
    round = make_round(votes_wanted=2)
    pair = make_pair(round)
    for verdict in verdicts:
        vote(pair, Track.IDENTITY, verdict)
    compute_round(round)
    alpha = figures_of(round)["agreement"]["alpha"]
    assert alpha["value"] is None and alpha["reason"] == f"undefined because {reason}"


def test_people_and_simulated_annotators_are_apart():
    round = make_round(votes_wanted=2)
    pair = make_pair(round)
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    vote(pair, Track.IDENTITY, Verdict.SECOND, make_user(is_simulated=True))
    made = compute_round(round)
    assert [(one.is_simulated, one.num_votes) for one in made] == [(False, 1), (True, 1)]


def test_gold_tells_of_people_and_of_nothing_else(ana):
    round = make_round()
    for verdict in (Verdict.TIE, Verdict.FIRST, Verdict.TIE):
        pair = make_pair(round, gold_verdicts={str(Track.IDENTITY): str(Verdict.TIE)})
        GoldPair.objects.create(pair=pair, kind=GoldKind.SELF_PAIR, track=Track.IDENTITY, budget=5)
        vote(pair, Track.IDENTITY, verdict, ana)
        Slot.objects.filter(pair=pair, judged_at=None).delete()
    compute_round(round)
    figures = figures_of(round)
    accuracy = figures["people"][str(ana.pk)]["gold_accuracy"]
    assert accuracy["value"] == pytest.approx(2 / 3) and accuracy["low"] < 2 / 3 < accuracy["high"]
    assert sum(figures["verdicts"].values()) == 0
    assert {stage.count for stage in round_funnel(round).stages} == {0}


def test_a_plan_takes_the_times_of_finished_pairs():
    """Four pairs of two votes, each of half an hour, all dominant: an hour a pair."""
    round = make_round()
    for _ in range(4):
        make_pair(round)
        for track in Track:
            person = make_user()
            slot = next_slot(person, track)
            choice, evidence = side_of(slot, Verdict.FIRST), {"active_ms": 1_800_000}
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), evidence=evidence)
    vote(make_pair(round), Track.IDENTITY, Verdict.FIRST)
    pilot = progress_queries.pilot_of(round, is_simulated=False)
    assert pilot.pairs == [PilotPair(is_dominant=True, active_s=(1800.0, 1800.0))] * 4
    plan = plan_yield(pilot.pairs, 10)
    assert plan.hours.value == plan.pairs.value and plan.pairs.low >= 10


def test_the_jobs_do_what_is_missing(monkeypatch, lea, ana):
    round, sent = dominant_but_for(ana), []
    for name in ("compute_figures.apply_async", "settle_disqualification.delay"):
        monkeypatch.setattr(f"annotate.quality.tasks.{name}", lambda *given, **_: sent.append(given[0]))
    disqualification = disqualify(ana, "answers without looking", lea)
    quality_tasks.refresh_figures()
    quality_tasks.settle_all()
    assert sent == [(round.pk,), disqualification.pk]
    quality_tasks.compute_figures(round.pk)
    quality_tasks.settle_disqualification(disqualification.pk)
    sent.clear()
    quality_tasks.settle_all()
    assert sent == [] and figures_of(round)["people"][str(ana.pk)]["votes"] == 2
    # Who is disqualified is in no figure but their own.
    assert sum(figures_of(round)["verdicts"].values()) == 4


def test_the_funnel_counts_each_stage():
    round = make_round()
    for verdict in (Verdict.FIRST, Verdict.SECOND):
        pair = make_pair(round)
        vote(pair, Track.IDENTITY, Verdict.FIRST)
        vote(pair, Track.CONTROLLABILITY, verdict)
    vote(make_pair(round), Track.IDENTITY, Verdict.FIRST)
    make_pair(round, is_made=False)
    export_round(round)
    stages = {stage.title: (stage.count, stage.of) for stage in round_funnel(round).stages}
    assert stages == {
        "Instances": (4, None),
        "Videos made": (6, 8),
        "Pairs": (4, None),
        "Identity votes": (3, 3),
        "Controllability votes": (2, 3),
        "Judged in full": (2, 4),
        "Decided on both tracks": (2, 2),
        "Dominant": (1, 2),
        "Exported": (1, 1),
        "Trained on": (0, 1),
    }
    assert sum(count for _, count in progress_queries.votes_by_day(round)[Track.IDENTITY]) == 3
