"""A worker is killed in the middle of sampling; the next one makes only what is missing."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from annotate.jobs import runs
from annotate.models import Run, RunStatus, Slot, VideoSample
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from generator.files import file_sha256
from generator.rundir import RunDir, RunError
from tests.annotate.workers import start_python, wait_until
from tests.factories import make_instance, make_model, make_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WORKER = """
import sys, django
django.setup()
from annotate.jobs.tasks import execute_run
execute_run(int(sys.argv[1]))
"""


def is_free(folder: RunDir) -> bool:
    try:
        with folder.open():
            return True
    except RunError:
        return False


def test_a_killed_worker_costs_nothing(tmp_path: Path):
    pytest.importorskip("torch")
    from generator.model.tiny import build_tiny_pipeline

    build_tiny_pipeline().save_pretrained(tmp_path)
    round = make_round(policy=make_model(base_model=str(tmp_path)))
    plan_pairs(round, [make_instance(num_references=1) for _ in range(3)])
    run = queue_sampling(round)
    assert run is not None
    folder = runs.run_dir(run)

    worker = start_python(WORKER, run.pk)
    wait_until(lambda: VideoSample.objects.exclude(path="").exists(), "a first video")
    worker.kill()
    worker.wait()
    wait_until(lambda: is_free(folder), "the end of the killed worker's command")
    before = dict(VideoSample.objects.exclude(path="").values_list("pk", "sha256"))
    assert 0 < len(before) < 6

    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert runs.requeue_lost_runs() == [run.pk]
    assert start_python(WORKER, run.pk).wait() == 0

    run.refresh_from_db()
    assert (run.status, Run.objects.count(), VideoSample.objects.count()) == (RunStatus.DONE, 1, 6)
    assert Slot.objects.count() == 3 * 2 * round.votes_wanted
    after = dict(VideoSample.objects.values_list("pk", "sha256"))
    assert before.items() <= after.items()

    undisturbed = RunDir(folder.path.with_name("undisturbed"))
    undisturbed.create(folder.read_request())
    subprocess.run(
        [sys.executable, "-m", "generator.sample", str(undisturbed.path)], cwd=settings.BASE_DIR, check=True
    )
    made = {int(path.stem): file_sha256(path) for path in (undisturbed.path / "samples").iterdir()}
    assert made == after
