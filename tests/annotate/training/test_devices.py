"""Trainings that the site spreads over two devices, here over gloo: they learn what one process does.

Two processes with batches of one meet what one process meets in batches of two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.jobs.local_worker import work_here
from annotate.models import ModelVersion, Run, RunStatus, Stage, User
from annotate.training.dpo import queue_dpo
from generator.rundir import RunDir
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.annotate.supervised.drawn import draw_people
from tests.factories import make_model, make_pair, make_round
from tests.versions import import_model
from tests.votes import vote

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def model(tmp_path: Path, settings: Any) -> Path:
    """A base of one layer with random weights, and a machine whose CPU counts as two devices."""
    pytest.importorskip("torch")
    from generator.portraits.tiny import build_tiny_pipeline, build_transformer

    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained(tmp_path / "model")
    settings.CPU_DEVICES = 2
    return tmp_path / "model"


def launch_sft(lead: User, **given: str) -> Run:
    browser: Client = browser_of(lead)
    look = browser.get("/models/sft/", given)
    seen = look.context["chosen"].digest
    answer = browser.post("/models/sft/", {**given, "seen": seen, "accepted": "on"})
    assert answer.status_code == 302, answer.content.decode()
    do_jobs()
    return Run.objects.get(stage=Stage.SFT)


def as_one_process(run: Run) -> RunDir:
    """The same request for one process, with batches twice as large."""
    mine, other = runs.run_dir(run), RunDir(runs.run_dir(run).path.with_name("one"))
    request = {name: value for name, value in mine.read_request().items() if name != "cache"}
    other.create({**request, "config": {**request["config"], "devices": 1, "batch_size": 2}})
    return other


def assert_alike(two: RunDir, one: RunDir, *names: str) -> None:
    from safetensors.torch import load_file

    from generator.adapter_files import ADAPTER_FILE

    lines = [run.read_metrics() for run in (two, one)]
    for name in names:
        mine, expected = ([line[name] for line in every if name in line] for every in lines)
        assert mine == pytest.approx(expected, rel=1e-3, abs=1e-4) and expected, name
    mine, expected = (load_file(run.path / "adapter" / ADAPTER_FILE) for run in (two, one))
    for name, value in expected.items():
        # As a whole: Adam divides by the gradient's own size, so where one is about 0 its rounding decides.
        assert (mine[name] - value).norm() < 1e-3 * value.norm(), name


def test_sft_learns_what_one_process_does(model, lea, tmp_path):
    from rlhf.sft.run import main

    draw_people(tmp_path / "people")
    policy = import_model(model)
    given = {"steps": "4", "batch_size": "1", "devices": "2", "rank": "2", "alpha": "2", "stills": "1"}
    given |= {"bf16": "off", "learning_rate": "0.001", "warmup_steps": "0"}
    run = launch_sft(lea, policy=str(policy.pk), **given)
    work_here(run)
    assert ModelVersion.objects.get(run=run).weights_sha256
    one = as_one_process(run)
    main(one, False)
    assert_alike(runs.run_dir(run), one, "loss", "grad_norm")


def test_dpo_learns_what_one_process_does(model):
    from rlhf.dpo.run import main

    config = {"steps": 4, "batch_size": 1, "devices": 2, "rank": 2, "alpha": 2, "learning_rate": 1e-2}
    config |= {"warmup_steps": 0, "evaluate_every": 2, "held_out": 0.34, "max_excess": 100.0, "save_every": 4}
    round = make_round(policy=make_model(base_model=str(model)), dpo=config)
    for _ in range(3):
        pair = make_pair(round)
        for track in Track:
            vote(pair, track, Verdict.FIRST)
    run = queue_dpo(round, export_round(round))
    assert run.devices == 2
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    one = as_one_process(run)
    main(one, False)
    names = ("loss", "grad_norm", "rewards/margins", "drift/chosen", "held_out/loss", "drift/empty")
    assert_alike(runs.run_dir(run), one, *names)
