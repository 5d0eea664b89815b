"""A worker is killed in the middle of sampling; the next one makes only what is missing."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from annotate.jobs import runs, shards
from annotate.jobs.local_worker import work_here
from annotate.models import Run, RunStatus, Shard, Slot, VideoSample
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from generator.files import file_sha256
from generator.rundir import RunDir
from tests.annotate.workers import start_python, wait_until
from tests.factories import make_instance, make_model, make_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WORKER = """
import sys, django
django.setup()
from annotate.jobs.local_worker import work_here
from annotate.models import Run
work_here(Run.objects.get(pk=int(sys.argv[1])))
"""


def test_a_killed_worker_costs_nothing(tmp_path: Path):
    pytest.importorskip("torch")
    from generator.portraits.tiny import build_tiny_pipeline
    from generator.sample import main

    build_tiny_pipeline().save_pretrained(tmp_path)
    round = make_round(policy=make_model(base_model=str(tmp_path)))
    plan_pairs(round, [make_instance(num_references=1) for _ in range(3)])
    run = queue_sampling(round)
    assert run is not None
    folder = runs.run_dir(run)

    worker = start_python(WORKER, run.pk)
    wait_until(lambda: VideoSample.objects.exclude(path="").exists(), "a first video")
    sampler = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    assert psutil.wait_procs(sampler, 20)[1] == [], "the sampler outlived its worker"
    before = dict(VideoSample.objects.exclude(path="").values_list("pk", "sha256"))
    assert 0 < len(before) < 6

    Shard.objects.update(heartbeat_at="2000-01-01T00:00:00Z")
    shards.requeue_lost(messages=0)
    work_here(run)

    run.refresh_from_db()
    assert (run.status, Run.objects.count(), VideoSample.objects.count()) == (RunStatus.DONE, 1, 6)
    assert Slot.objects.count() == 3 * 2 * round.votes_wanted
    after = dict(VideoSample.objects.values_list("pk", "sha256"))
    assert before.items() <= after.items()

    undisturbed = RunDir(folder.path.with_name("undisturbed"))
    undisturbed.create(folder.read_request())
    main(undisturbed, False)
    made = {int(path.stem): file_sha256(path) for path in (undisturbed.path / "samples").iterdir()}
    assert made == after
