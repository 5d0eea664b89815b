"""A worker is killed while it does a job of each kind: done again, it leaves the rows that were wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from annotate.background import jobs, kinds
from annotate.background.kinds import Outcome, Tell
from annotate.background.tasks import do_job
from annotate.exports.freezing import export_round
from annotate.models import (
    AppliedThresholds,
    Export,
    GoldPair,
    Job,
    Reference,
    Round,
    RoundState,
    Run,
    Supersession,
    TrainingSet,
    User,
)
from annotate.quality.disqualification import disqualify, settle
from annotate.rounds.rounds import set_round_state
from annotate.training.queries import pair_set
from rlhf.records import Track, Verdict
from tests.annotate.copies import Stay, killed_where_it_stays
from tests.annotate.jobs_done import do_jobs
from tests.factories import (
    make_group,
    make_instance,
    make_measures,
    make_model,
    make_pair,
    make_reference,
    make_round,
    make_user,
)
from tests.versions import judged_round, train
from tests.votes import vote

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Does = Callable[[Job, Tell], Outcome]


@pytest.fixture
def lead() -> User:
    return make_user("lea", role=User.Role.LEAD)


def thresholds(lead: User) -> Job:
    for _ in range(3):
        make_reference(make_group(truth=None), quality=make_measures(face_px=20.0))
    return jobs.ask("apply_thresholds", lead, min_face_px=100.0)


def are_applied_once(done: Job) -> bool:
    reasons = set(Reference.objects.values_list("reject_reasons__0", flat=True))
    return AppliedThresholds.objects.count() == 1 and reasons == {"small_face"}


def gold(lead: User) -> Job:
    round = make_round()
    for _ in range(3):
        make_pair(round)
    return jobs.ask("make_gold", lead, round=round)


def is_made_once(done: Job) -> bool:
    made = GoldPair.objects.count()
    jobs.ask("make_gold", done.asked_by, round=done.round)
    return made > 0 and do_jobs().outcome == "Nothing was missing." and GoldPair.objects.count() == made


def step(lead: User) -> Job:
    round = judged_round()
    set_round_state(round, RoundState.CLOSED)
    return jobs.ask("advance_round", lead, round=round, include_simulated=True)


def is_taken_once(done: Job) -> bool:
    run = Run.objects.get()
    return run.export == Export.objects.get() and done.result == {"run": run.pk}


def launch(lead: User) -> Job:
    round = judged_round()
    seen = pair_set(round, None, include_simulated=True).digest
    form = {"seen": seen, "accepted": "on", "steps": "3"}
    what = {"export": None, "rule": "pareto", "include_simulated": True}
    return jobs.ask("launch_dpo", lead, round=round, form=form, **what)


def is_launched_once(done: Job) -> bool:
    run = Run.objects.get()
    return Export.objects.get() == run.export and run.export.num_pairs == 2


def launch_of_sft(lead: User) -> Job:
    for _ in range(3):
        instance = make_instance(make_group(), num_references=2)
        instance.places.create(
            reference=make_reference(instance.group, sha256=uuid4().hex * 2), position=None
        )
    what = {"policy": make_model().pk, "set": None, "source": "", "form": {}, "seen": None, "accepted": True}
    return jobs.ask("launch_sft", lead, **what)


def is_learned_once(done: Job) -> bool:
    return done.result == {"run": Run.objects.get().pk} and TrainingSet.objects.get().num_instances == 3


def next_round(lead: User) -> Job:
    policy = train(judged_round())
    return jobs.ask("next_round", lead, name="second", policy=policy.pk, new_seeds=False)


def is_started_once(done: Job) -> bool:
    first, second = Round.objects.order_by("pk")
    return done.result == {"round": second.pk} and second.pairs.count() == first.pairs.count()


def export_made_again(lead: User) -> Job:
    round, clicker = make_round(votes_wanted=1), make_user("clicker")
    for person in (clicker, None):
        pair = make_pair(round)
        for track in Track:
            vote(pair, track, Verdict.FIRST, person if track is Track.IDENTITY else None)
    old = export_round(round)
    settle(disqualify(clicker, "clicks", lead).pk)
    return jobs.ask("rebuild_export", lead, round=round, export=old.pk, person=clicker.pk)


def stands_in_once(done: Job) -> bool:
    made = Export.objects.get(pk=done.result["export"])
    return made.num_pairs == 1 and Supersession.objects.get().by_export == made


def evaluation(lead: User) -> Job:
    version = train(judged_round())
    make_instance(make_group(split="eval"))
    return jobs.ask("evaluate", lead, round=version.run.round, version=version.pk)


def is_queued_once(done: Job) -> bool:
    return done.result == {"run": Run.objects.get(stage="evaluate").pk}


#: Of each kind: how one is asked for, and whether what it leaves is right.
CASES: dict[str, tuple[Callable[[User], Job], Callable[[Job], bool]]] = {
    "apply_thresholds": (thresholds, are_applied_once),
    "make_gold": (gold, is_made_once),
    "advance_round": (step, is_taken_once),
    "launch_dpo": (launch, is_launched_once),
    "launch_sft": (launch_of_sft, is_learned_once),
    "next_round": (next_round, is_started_once),
    "rebuild_export": (export_made_again, stands_in_once),
    "evaluate": (evaluation, is_queued_once),
}
#: These have one step, in which they say nothing.
SILENT = {"evaluate"}


def test_every_kind_that_changes_something_is_killed_here():
    registered = {name for name, kind in kinds._KINDS.items() if not kind.is_look}
    assert registered - {"count"} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_killed_job_is_done_again(lead, name):
    """Once where it says first how far it is, once after its work, before it says so."""
    ask, is_right = CASES[name]
    job = ask(lead)
    ways = [after_its_work] if name in SILENT else [where_it_tells, after_its_work]
    for way in ways:
        kill_in(job, way)
        job.refresh_from_db()
        assert job.status == "running"
        Job.objects.update(heartbeat_at=timezone.now() - jobs.LOST_AFTER - timedelta(seconds=1))
        assert jobs.QUEUE.requeue_lost() == [job.pk]
    done = do_jobs()
    assert (done.pk, done.status, done.attempts) == (job.pk, "done", len(ways) + 1), done.error
    assert is_right(done)


def where_it_tells(do: Does, stay: Stay) -> Does:
    return lambda job, tell: do(job, stay)


def after_its_work(do: Does, stay: Stay) -> Does:
    def work(job: Job, tell: Tell) -> Outcome:
        outcome = do(job, tell)
        stay()
        return outcome

    return work


def kill_in(job: Job, way: Callable[[Does, Stay], Does]) -> None:
    def work(stay: Stay) -> None:
        kind = kinds.kind_of(job.kind)
        kinds.register(replace(kind, do=way(kind.do, stay)))
        do_job(job.pk)

    killed_where_it_stays(work)
