"""Jobs: a page asks, a worker does, and whoever asked sees how far it is."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.background import jobs
from annotate.background.kinds import JobKind, Outcome, register
from annotate.models import Job, Round
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.versions import judged_round, train

pytestmark = pytest.mark.django_db


def count(job, tell):
    for number in range(job.values["wanted"]):
        tell(number + 1, job.values["wanted"])
    if not job.values["wanted"]:
        raise ValueError("nothing is wanted; ask for something")
    return Outcome(f"Counted {job.values['wanted']}.", "/rounds/")


COUNT = register(JobKind("count", "Counting", count, refusals=(ValueError,)))


def test_a_job_is_asked_for_once_followed_and_done(lea, ana):
    job = jobs.ask("count", lea, wanted=3)
    assert jobs.ask("count", lea, wanted=3) == job != jobs.ask("count", lea, wanted=4)
    with pytest.raises(IntegrityError, match="job_is_asked_for_once"), transaction.atomic():
        Job.objects.create(kind="count", asked_by=lea, values={"wanted": 3})
    page = f"/jobs/{job.pk}/"
    assert "waits for a worker" in browser_of(lea).get(page).content.decode()
    assert browser_of(ana).get(page).status_code == 404
    do_jobs()
    job.refresh_from_db()
    assert (job.status, job.done, job.total, job.attempts) == ("done", 3, 3, 1)
    part = browser_of(lea).get(page, headers={"HX-Request": "true"}).content.decode()
    assert "Counted 3." in part and 'href="/rounds/"' in part and "hx-get" not in part
    jobs.do(job.pk, uuid4())
    job.refresh_from_db()
    assert job.attempts == 1, "a second message does nothing"


def test_a_refusal_is_the_jobs_error(lea):
    jobs.ask("count", lea, wanted=0)
    job = do_jobs()
    assert (job.status, job.error) == ("failed", "nothing is wanted; ask for something")
    assert job.error in browser_of(lea).get(f"/jobs/{job.pk}/").content.decode()


def test_a_lost_job_is_done_again_and_at_last_given_up(lea):
    job = jobs.ask("count", lea, wanted=1)
    for attempt in range(1, 4):
        assert jobs.QUEUE.claim(job.pk, uuid4())
        Job.objects.update(heartbeat_at=timezone.now() - jobs.LOST_AFTER - timedelta(seconds=1))
        assert jobs.QUEUE.requeue_lost() == ([job.pk] if attempt < 3 else [])
    job.refresh_from_db()
    assert job.status == "failed" and "was lost 3 times" in job.error


def test_who_has_lost_a_job_stops(lea):
    job = jobs.ask("count", lea, wanted=1)
    progress = jobs._Progress(job, uuid4())
    progress.tell(1)
    progress.store()
    with pytest.raises(jobs._Lost):
        progress.tell(2)


def test_following_a_job_costs_one_statement_beside_the_session(lea):
    job = jobs.ask("count", lea, wanted=1)
    browser = browser_of(lea)
    with CaptureQueriesContext(connection) as captured:
        browser.get(f"/jobs/{job.pk}/", headers={"HX-Request": "true"})
    assert len([one for one in captured if "annotate_job" in one["sql"]]) == 1 and len(captured) <= 3


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
