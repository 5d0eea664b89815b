"""SFT whose command is killed: let go on, it ends with the same adapter."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from annotate.jobs import runs
from annotate.models import ModelVersion, Run, RunStatus
from annotate.supervised import queries
from annotate.supervised.preview import dry_run
from annotate.supervised.sft import launch_sft
from generator.rundir import RunDir
from tests.annotate.supervised.drawn import draw_people
from tests.annotate.workers import start_python, wait_until
from tests.versions import import_model

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WORKER = """
import sys, django
django.setup()
from annotate.jobs.local_worker import work_here
from annotate.models import Run
work_here(Run.objects.get(pk=int(sys.argv[1])))
"""
CONFIG = {
    "steps": "16",
    "batch_size": "2",
    "rank": "2",
    "stills": "1",
    "save_every": "2",
    "sample_every": "0",
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """On two drawn people and a base of one layer with random weights, at the size of the shipped one."""
    pytest.importorskip("torch")
    draw_people(tmp_path / "people")
    from generator.portraits.tiny import build_tiny_pipeline, build_transformer

    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained(tmp_path / "model")
    policy = import_model(tmp_path / "model")
    preview = dry_run(policy, queries.chosen_now(policy, ""), CONFIG)
    return launch_sft(policy, preview, seen=preview.chosen.digest, accepted=True)


def lines(run: Run) -> int:
    return len(runs.run_dir(run).read_metrics())


def training_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    children = psutil.Process(worker.pid).children(recursive=True)
    return next(one for one in children if "rlhf.sft" in one.cmdline())


def test_what_is_killed_ends_with_the_same_adapter(run: Run) -> None:
    from rlhf.sft.run import main

    folder = runs.run_dir(run)

    worker = start_python(WORKER, run.pk)
    wait_until(lambda: lines(run) >= 5, "five steps")
    training_of(worker).kill()
    assert worker.wait() == 0
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and "SIGKILL" in run.error
    assert runs.retry_run(run)
    assert start_python(WORKER, run.pk).wait() == 0

    version = ModelVersion.objects.get(run=run)
    undisturbed = RunDir(folder.path.with_name("undisturbed"))
    undisturbed.create({name: value for name, value in folder.read_request().items() if name != "cache"})
    main(undisturbed, False)
    assert version.weights_sha256 == undisturbed.read_result()["adapter_sha256"]
    assert [one["step"] for one in folder.read_metrics()] == list(range(1, 17)), "no step twice"
