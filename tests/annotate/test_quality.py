"""Numbers for leads, from votes that were planted through the services."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from annotate import progress_queries, quality_queries, quality_tasks
from annotate.judging_queries import is_disqualified, why_empty
from annotate.models import (
    AnnotatorFlag,
    AuditEvent,
    Consensus,
    Disqualification,
    GoldKind,
    GoldPair,
    Judgment,
    PreferencePair,
    Slot,
    User,
    VideoPair,
)
from annotate.services.figures import compute_round
from annotate.services.judgments import LeaseLostError, submit_judgment
from annotate.services.preferences import export_round
from annotate.services.quality import (
    QualityError,
    disqualify,
    lift,
    rebuild_export,
    review_flag,
    settle,
)
from annotate.services.slots import lease_slot
from rlhf.export_rule import ExportRule
from rlhf.records import JointState, Track, Verdict
from rlhf.stopping import Rule
from rlhf.yield_plan import PilotPair, plan_yield
from tests.annotate.test_judgments import held, vote
from tests.factories import make_instance, make_pair, make_round, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def the_same_chance(db) -> None:
    """Sides and queue are drawn: a truthful person is flagged by chance now and then, not in this draw."""
    random.seed(0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0)")


#: What a person answers: given the pair's true verdict, how the slot is shown, and the pair's number.
Habit = Callable[[Verdict, Slot, int], str]


def side_of(slot: Slot, verdict: Verdict) -> str:
    other = {"left": "right", "right": "left"}
    return slot.first_side if verdict is Verdict.FIRST else other[slot.first_side]


def drawn(seed: str) -> Verdict:
    return random.Random(seed).choice([Verdict.FIRST, Verdict.SECOND])


def truthful(truth: Verdict, slot: Slot, number: int) -> str:
    return side_of(slot, truth)


def left(truth: Verdict, slot: Slot, number: int) -> str:
    return "left"


def guessing(seed: int) -> Habit:
    """Two who guess with the same seed say the same of every pair."""
    return lambda truth, slot, number: side_of(slot, drawn(f"{seed} {number}"))


def judge_all(round, habits: Mapping[User, Habit], num_pairs: int, track: Track = Track.IDENTITY) -> None:
    """Every person judges every pair of a round."""
    instance = make_instance(num_references=1)
    numbers = {make_pair(round, instance).pk: number for number in range(num_pairs)}
    for person, habit in habits.items():
        for _ in range(num_pairs):
            slot = held(person, track)
            number = numbers[slot.pair_id]
            choice = habit(drawn(f"truth {number}"), slot, number)
            evidence = {"active_ms": 4000, "coverage": {"left": 1.0, "right": 0.5}}
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), evidence=evidence)


def figures_of(round, track: Track = Track.IDENTITY) -> dict:
    figures = quality_queries.newest_figures(round, is_simulated=False)
    assert figures is not None
    return figures.figures[str(track)]


# -- figures and flags --------------------------------------------------------------------------------


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
        pair = make_pair(round)
        VideoPair.objects.filter(pk=pair.pk).update(gold_verdicts={str(Track.IDENTITY): str(Verdict.TIE)})
        GoldPair.objects.create(pair=pair, kind=GoldKind.SELF_PAIR, track=Track.IDENTITY, budget=5)
        vote(pair, Track.IDENTITY, verdict, ana)
        Slot.objects.filter(pair=pair, judged_at=None).delete()
    compute_round(round)
    figures = figures_of(round)
    accuracy = figures["people"][str(ana.pk)]["gold_accuracy"]
    assert accuracy["value"] == pytest.approx(2 / 3) and accuracy["low"] < 2 / 3 < accuracy["high"]
    assert sum(figures["verdicts"].values()) == 0
    assert {stage.count for stage in progress_queries.funnel(round)} == {0}


def test_a_plan_takes_the_times_of_finished_pairs():
    """Four pairs of two votes, each of half an hour, all dominant: an hour a pair."""
    round = make_round()
    for _ in range(4):
        make_pair(round)
        for track in Track:
            person = make_user()
            slot = held(person, track)
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
        monkeypatch.setattr(f"annotate.quality_tasks.{name}", lambda *given, **_: sent.append(given[0]))
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
    stages = {stage.title: (stage.count, stage.of) for stage in progress_queries.funnel(round)}
    assert stages == {
        "Instances": (4, None),
        "Videos made": (6, 8),
        "Pairs": (4, None),
        "Judged in full": (2, 4),
        "Decided on both tracks": (2, 2),
        "Dominant": (1, 2),
        "Exported": (1, 1),
    }
    assert sum(count for _, count in progress_queries.votes_by_day(round)[Track.IDENTITY]) == 3


# -- votes that do not count -------------------------------------------------------------------------


def dominant_but_for(wrong: User, num_pairs: int = 2):
    """Pairs on which two people out of three say first on both tracks; one of them is `wrong` on identity."""
    round = make_round(votes_wanted=3)
    for _ in range(num_pairs):
        pair = make_pair(round)
        for person, verdict in ((wrong, Verdict.FIRST), (None, Verdict.FIRST), (None, Verdict.SECOND)):
            vote(pair, Track.IDENTITY, verdict, person)
        for _ in range(3):
            vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    return round


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
        slot = held(other)
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
    slot = held(ana)
    disqualify(ana, "answers without looking", lea)
    assert lease_slot(ana, Track.IDENTITY) is None
    assert "not counted" in why_empty(ana, Track.IDENTITY)
    with pytest.raises(LeaseLostError):
        submit_judgment(ana, slot.lease, "left", idempotency_key=uuid4())
    assert held(make_user()).pk == slot.pk
    with pytest.raises(QualityError, match="disqualified already"):
        disqualify(ana, "twice", lea)
    with pytest.raises(QualityError, match="no reason"):
        disqualify(make_user(), "", lea)


def test_an_export_is_made_again_without_them_and_the_old_one_stays(lea, ana):
    round = dominant_but_for(ana)
    old = export_round(round)
    (reached,) = quality_queries.reached_by(ana)
    assert reached.export == old and reached.export.num_touched == 2
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
    assert progress_queries.funnel(round)[-1].count == 0


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
        submit_judgment(other, held(other).lease, "tie", idempotency_key=uuid4())
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
