"""A worker is killed in the middle of each kind of job: done again, it leaves the rows that were wanted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from annotate.background import jobs
from annotate.models import AppliedThresholds, Export, GoldPair, Job, Reference, RoundState, Run, User
from annotate.rounds.rounds import set_round_state
from annotate.training.queries import pair_set
from tests.annotate.jobs_done import do_jobs
from tests.annotate.workers import start_python, wait_until
from tests.factories import make_group, make_measures, make_pair, make_reference, make_round, make_user
from tests.versions import judged_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: It stays where it says for the first time how far it is.
WORKER = """
import sys, time, django
django.setup()
from annotate.background import jobs, tasks
def stuck(self, *told):
    open(sys.argv[2], "w").close()
    time.sleep(120)
jobs._Progress.tell = stuck
tasks.do_job(int(sys.argv[1]))
"""


def kill_in_the_middle(job: Job, reached: Path) -> Job:
    process = start_python(WORKER, job.pk, reached)
    wait_until(reached.exists, "a job in the middle")
    process.kill()
    process.wait()
    job.refresh_from_db()
    assert job.status == "running"
    Job.objects.update(heartbeat_at=timezone.now() - jobs.LOST_AFTER - timedelta(seconds=1))
    assert jobs.QUEUE.requeue_lost() == [job.pk]
    done = do_jobs()
    assert (done.pk, done.status, done.attempts) == (job.pk, "done", 2), done.error
    return done


@pytest.fixture
def lead() -> User:
    return make_user("lea", role=User.Role.LEAD)


def test_thresholds(lead, tmp_path):
    for _ in range(3):
        make_reference(make_group(truth=None), quality=make_measures(face_px=20.0))
    job = jobs.ask("apply_thresholds", lead, min_face_px=100.0)
    assert kill_in_the_middle(job, tmp_path / "reached").done == 3
    assert AppliedThresholds.objects.count() == 1
    assert set(Reference.objects.values_list("reject_reasons__0", flat=True)) == {"small_face"}


def test_gold(lead, tmp_path):
    round = make_round()
    for _ in range(3):
        make_pair(round)
    job = jobs.ask("make_gold", lead, round=round)
    kill_in_the_middle(job, tmp_path / "reached")
    made = GoldPair.objects.count()
    assert made
    jobs.ask("make_gold", lead, round=round)
    assert do_jobs().outcome == "Nothing was missing." and GoldPair.objects.count() == made


def test_a_step(lead, tmp_path):
    round = judged_round()
    set_round_state(round, RoundState.CLOSED)
    job = jobs.ask("advance_round", lead, round=round, include_simulated=True)
    done = kill_in_the_middle(job, tmp_path / "reached")
    assert Run.objects.get().export == Export.objects.get() and "holds 2 pairs" in done.outcome


def test_a_launch(lead, tmp_path):
    round = judged_round()
    seen = pair_set(round, None, include_simulated=True).digest
    form = {"seen": seen, "accepted": "on", "steps": "3"}
    what = {"export": None, "rule": "pareto", "include_simulated": True}
    job = jobs.ask("launch_dpo", lead, round=round, form=form, **what)
    done = kill_in_the_middle(job, tmp_path / "reached")
    run = Run.objects.get()
    assert Export.objects.get() == run.export and run.export.num_pairs == 2
    # Killed once more, after the run was queued: it is found, and no second one is made.
    Job.objects.filter(pk=done.pk).update(status="queued")
    assert do_jobs().link == done.link and Run.objects.count() == 1
