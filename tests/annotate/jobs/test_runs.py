"""Runs: queued once, claimed once, followed, ended once, and resumed in the same folder when lost."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.models import ModelVersion, Run, RunStatus, Stage, VideoSample
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from annotate.training.dpo import queue_dpo
from rlhf.records import Track, Verdict
from tests.factories import make_instance, make_pair, make_round
from tests.votes import vote

pytestmark = pytest.mark.django_db


def planned_run() -> Run:
    round = make_round()
    plan_pairs(round, [make_instance(), make_instance()])
    run = queue_sampling(round)
    assert run is not None
    return run


def whole_run() -> Run:
    """One that is not worked on in shards."""
    return runs.queue_run(make_round(), Stage.DPO, lambda folder: {}, actor=None)


def test_it_asks_for_two_videos_of_each_instance():
    run = planned_run()
    request = runs.run_dir(run).read_request()
    assert len(request["samples"]) == 4
    seeds = [item["seed"] for item in request["samples"]]
    assert len(set(seeds)) == 4
    for item in request["samples"]:
        assert [runs.run_dir(run).resolve(r["path"]).is_file() for r in item["references"]] == [True] * 3


def test_planning_and_queueing_again_add_nothing():
    run = planned_run()
    instances = [pair.instance for pair in run.round.pairs.all()]
    assert plan_pairs(run.round, instances) == 0
    assert queue_sampling(run.round) == run
    assert (VideoSample.objects.count(), Run.objects.count()) == (4, 1)


def test_one_worker_claims_a_run():
    run = whole_run()
    assert runs.claim_run(run.pk, uuid4()) is not None
    assert runs.claim_run(run.pk, uuid4()) is None


def test_a_lost_run_is_queued_again_in_its_folder():
    run = whole_run()
    first = uuid4()
    runs.claim_run(run.pk, first)
    assert runs.requeue_lost_runs() == []
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert runs.requeue_lost_runs() == [run.pk]
    assert runs.requeue_lost_runs() == []
    second = uuid4()
    assert runs.claim_run(run.pk, second) is not None
    run.refresh_from_db()
    assert runs.renew_run(run, first) is None
    assert not runs.end_run(run, first, RunStatus.FAILED, "the first worker came back")
    assert runs.renew_run(run, second) is RunStatus.RUNNING
    assert Run.objects.count() == 1


def test_a_queued_run_whose_message_was_lost_is_sent_again():
    run = whole_run()
    Run.objects.update(queued_at=timezone.now() - timedelta(minutes=5))
    assert runs.requeue_lost_runs() == [run.pk]
    assert runs.requeue_lost_runs() == []


def test_cancel_and_retry():
    run = whole_run()
    worker = uuid4()
    run = runs.claim_run(run.pk, worker)
    assert runs.cancel_run(run)
    assert runs.renew_run(run, worker) is RunStatus.CANCELLING
    assert runs.end_run(run, worker, RunStatus.CANCELLED)
    assert not runs.cancel_run(run)
    assert runs.retry_run(run)
    assert not runs.retry_run(run)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_a_cancelled_queued_run_ends_at_once():
    run = whole_run()
    assert runs.cancel_run(run)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED
    assert runs.claim_run(run.pk, uuid4()) is None


def test_dpo_registers_a_model_that_the_next_round_can_use():
    pair = make_pair()
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    export = export_round(pair.round)
    worker = uuid4()
    run = runs.claim_run(queue_dpo(pair.round, export).pk, worker)
    folder = runs.run_dir(run)
    request = folder.read_request()
    assert (folder.resolve(request["export"]) / "pairs.jsonl").is_file()
    folder.append_metrics({"step": 1, "loss": 0.69})
    folder.write_result({"adapter": "adapter", "adapter_sha256": "a" * 64, "num_pairs": 1})
    assert runs.finish_run(run, worker)
    version = ModelVersion.objects.get(kind="dpo")
    assert (version.parent, version.export, version.run) == (pair.round.policy, export, run)
    assert version.adapters() == [(version, 1.0)] and version.adapter_path == f"{run.folder}/adapter"
    next_round = make_round(policy=version)
    plan_pairs(next_round, [pair.instance])
    sampling = queue_sampling(next_round)
    assert sampling is not None
    adapters = runs.run_dir(sampling).read_request()["model"]["adapters"]
    assert [runs.run_dir(sampling).resolve(path) for path in adapters] == [folder.path / "adapter"]


def test_an_empty_export_trains_nothing():
    pair = make_pair()
    with pytest.raises(RoundError, match="holds no pair"):
        queue_dpo(pair.round, export_round(pair.round))
