"""A job that ends in the middle, or before it says that it is done, is done again, with the same rows."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from annotate.background import jobs
from annotate.exports.freezing import export_round
from annotate.models import Export, Job, Round, Run, Supersession, TrainingSet, User
from annotate.quality.disqualification import disqualify, settle
from rlhf.records import Track, Verdict
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_group, make_instance, make_model, make_pair, make_reference, make_round
from tests.versions import judged_round, train
from tests.votes import vote

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """As near to a kill as a process can come that goes on."""


@pytest.fixture
def done_again(monkeypatch):
    """Ends a job where it says first how far it is, then does it, and once more as if it had not said so."""

    def run(job: Job) -> Job:
        def tell(progress: object, *told: object) -> None:
            raise Killed

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(jobs._Progress, "tell", tell)
            jobs.do(job.pk, uuid4())
        Job.objects.update(heartbeat_at=timezone.now() - jobs.LOST_AFTER - timedelta(seconds=1))
        assert jobs.QUEUE.requeue_lost() == [job.pk]
        done = do_jobs()
        assert (done.pk, done.status, done.attempts) == (job.pk, "done", 2), done.error
        Job.objects.filter(pk=done.pk).update(status="queued")
        again = do_jobs()
        assert (again.status, again.link, again.result) == ("done", done.link, done.result), again.error
        return again

    return run


def test_a_next_round(lea, done_again):
    round = judged_round()
    policy = train(round)
    job = jobs.ask("next_round", lea, name="second", policy=policy.pk, new_seeds=False)
    second = Round.objects.get(pk=done_again(job).result["round"])
    assert second.pairs.count() == round.pairs.count() and Round.objects.count() == 2


def test_an_export_made_again(lea, done_again):
    round, clicker = make_round(votes_wanted=1), User.objects.create(username="clicker")
    for person in (clicker, None):
        pair = make_pair(round)
        for track in Track:
            vote(pair, track, Verdict.FIRST, person if track is Track.IDENTITY else None)
    old = export_round(round)
    settle(disqualify(clicker, "clicks", lea).pk)
    job = jobs.ask("rebuild_export", lea, round=round, export=old.pk, person=clicker.pk)
    made = Export.objects.get(pk=done_again(job).result["export"])
    assert made.num_pairs == 1 and Supersession.objects.get().by_export == made


def test_a_launch_of_sft(lea, done_again):
    for _ in range(3):
        instance = make_instance(make_group(), num_references=2)
        instance.places.create(
            reference=make_reference(instance.group, sha256=uuid4().hex * 2), position=None
        )
    what = {"policy": make_model().pk, "set": None, "source": "", "form": {}, "seen": None, "accepted": True}
    job = done_again(jobs.ask("launch_sft", lea, **what))
    assert Run.objects.get().pk == job.result["run"] and TrainingSet.objects.get().num_instances == 3


def test_a_cancelled_job_stops_and_leaves_nothing(lea):
    round = judged_round()
    job = jobs.ask("next_round", lea, name="second", policy=train(round).pk, new_seeds=False)
    assert jobs.cancel(job) and not jobs.cancel(job)
    assert jobs.do(job.pk, uuid4()) is None
    running = jobs.ask("next_round", lea, name="second", policy=round.policy_id, new_seeds=False)
    worker = uuid4()
    assert jobs.QUEUE.claim(running.pk, worker)
    progress = jobs._Progress(running, worker)
    assert jobs.cancel(running)
    progress.store()
    with pytest.raises(jobs._Lost):
        progress.tell(1)
    assert Round.objects.count() == 1
