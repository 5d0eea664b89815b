"""Runs whose folders are in a bucket: brought down to a worker's machine, and up while it works."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from annotate.fleet import run_folders
from annotate.fleet.run_folders import StagedFolder
from annotate.jobs import run_logs, runs, stages
from annotate.jobs.local_worker import work_here
from annotate.models import Run, RunMetric, RunStatus
from annotate.storage.interface import Storage, StorageError
from annotate.storage.opening import site_storage
from tests.annotate.conftest import browser_of
from tests.annotate.jobs import added_stage, counting_stage
from tests.annotate.workers import start_python, wait_until
from tests.factories import make_round, make_user
from tests.object_store import CREDENTIALS

KEY = "runs/round-1/dpo-1"


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.STORAGE_ROOT = tmp_path / "storage"  # that of `either_storage`, where it is a folder
    monkeypatch.setattr(stages, "_WORKS", dict(stages._WORKS))
    added_stage.stored.clear()
    added_stage.add()
    counting_stage.add()


def keys(storage: Storage, prefix: str) -> set[str]:
    return {item.key.removeprefix(f"{prefix}/") for item in storage.list(prefix, with_partial=True)}


@pytest.mark.django_db(transaction=True)
def test_a_stage_is_queued_worked_and_shown(either_storage, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    run = runs.queue_run(make_round(), "echo", lambda folder: {"word": "yes"}, actor=None)
    assert runs.read_request(run) == {"stage": "echo", "word": "yes"}
    work_here(run)
    run.refresh_from_db()
    assert (run.status, run.result, added_stage.stored) == (RunStatus.DONE, {"echo": "yes"}, [1, "yes"])
    assert keys(either_storage, run.folder) - {"lock"} == {
        "request.json",
        "metrics.jsonl",
        "result.json",
        "log.txt",
    }
    assert browser_of(make_user(role="lead")).get(f"/runs/{run.pk}/").status_code == 200
    if either_storage.name.startswith("s3:"):
        assert not list((tmp_path / "cache" / "under-way").glob("work-*")), "nothing stays here"
        assert not runs.run_dir(run).path.exists()
    again = runs.queue_run(run.round, "echo", lambda folder: {"word": "no"}, actor=None)
    assert again.folder == f"runs/round-{run.round_id}/echo-2"
    work_here(again)
    again.refresh_from_db()
    assert (again.status, again.error) == (RunStatus.FAILED, "nobody agreed")


@pytest.mark.django_db
def test_a_folder_without_a_row_is_left_alone(either_storage):
    round = make_round()
    either_storage.put(f"runs/round-{round.pk}/echo-1/request.json", b"{}")
    run = runs.queue_run(round, "echo", lambda folder: {"word": "yes"}, actor=None)
    assert run.folder.endswith("echo-2")


WORKER = """
import sys, django
django.setup()
from annotate.fleet import run_folders
from annotate.jobs.local_worker import work_here
from annotate.models import Run
from tests.annotate.jobs import counting_stage
counting_stage.add()
run_folders.STORE_S = 0.2
work_here(Run.objects.get(pk=int(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_is_followed_by_one_on_another_machine(either_storage, settings, tmp_path):
    either_storage.put("references/mia/media.txt", b"what is given")
    request = {"given": "../../../references/mia/media.txt", "count": 40}
    run = runs.queue_run(make_round(), "count", lambda folder: request, actor=None)
    address = settings.STORAGE
    url = str(address)
    if either_storage.name.startswith("s3:"):
        url += f"?endpoint={address.endpoint}&style=path"
    named = {f"AWS_{name.upper()}": value for name, value in CREDENTIALS.items()} | {"STORAGE_URL": url}
    worker = start_python(WORKER, run.pk, VAR_DIR=str(tmp_path / "one"), **named)
    wait_until(lambda: run.metrics.count() > 3, "a few lines")
    worker.kill()
    worker.wait()
    before = run.metrics.count()
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert runs.requeue_lost_runs() == [run.pk]
    assert start_python(WORKER, run.pk, VAR_DIR=str(tmp_path / "other"), **named).wait() == 0
    run.refresh_from_db()
    assert (run.status, run.result) == (RunStatus.DONE, {"made": 40})
    lines = [metric.values for metric in RunMetric.objects.filter(run=run).order_by("line")]
    assert [line["number"] for line in lines] == list(range(40))
    assert len({line["process"] for line in lines[:before]}) == 1
    assert len({line["process"] for line in lines}) == 2, "nothing was made twice"
    for number in range(40):
        made = b"".join(either_storage.stream(f"{run.folder}/made/{number}.txt"))
        assert made == b"what is given %d" % number
    assert run_logs.log_tail(run) == []


# -- a copy ------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(object_store, tmp_path: Path) -> Storage:
    """With a run that reads a reference, an adapter and a machine's own model."""
    storage: Storage = object_store.storage(tmp_path / "cache")
    request = {
        "model": {"base": "/models/base", "adapters": ["../dpo-0/adapter"]},
        "samples": [
            {"references": [{"path": "../../../references/a/media.mp4"}], "prompt": "../.. and so on"}
        ],
    }
    storage.put(f"{KEY}/request.json", json.dumps(request).encode())
    storage.put("references/a/media.mp4", b"a clip")
    for name in ("config.json", "weights.safetensors"):
        storage.put(f"runs/round-1/dpo-0/adapter/{name}", name.encode())
    return storage


def staged(bucket: Storage, root: Path) -> StagedFolder:
    root.mkdir()
    folder = StagedFolder(bucket, root, KEY)
    folder.bring_down()
    return folder


def write(folder: StagedFolder, name: str, content: bytes = b"x") -> None:
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).write_bytes(content)


def test_what_a_request_names_is_where_it_says(bucket, tmp_path):
    folder = staged(bucket, tmp_path / "work")
    request = folder.read_request()
    reference = request["samples"][0]["references"][0]["path"]
    assert folder.resolve(reference).read_bytes() == b"a clip"
    adapter = folder.resolve(request["model"]["adapters"][0])
    assert {path.name for path in adapter.iterdir()} == {"config.json", "weights.safetensors"}


def test_a_line_is_told_once_its_file_is_stored(bucket, tmp_path, monkeypatch):
    folder = staged(bucket, tmp_path / "work")
    sent, put = [], bucket.put
    monkeypatch.setattr(bucket, "put", lambda key, *rest: (sent.append(key), put(key, *rest))[1])
    write(folder, "samples/1.mp4")
    folder.append_metrics({"sample_id": "1"})
    folder.write_result({"samples": 1})
    assert folder.num_lines == 0
    folder.store()
    assert folder.num_lines == 1
    order = [f"{KEY}/{name}" for name in ("samples/1.mp4", "metrics.jsonl", "result.json")]
    assert sent == order
    write(folder, "samples/2.mp4")
    folder.append_metrics({"sample_id": "2"})
    folder.store()
    assert len(sent) == 3 and folder.num_lines == 1, "not as often as it is asked"
    folder.store(at_end=True)
    assert sent[3:] == [f"{KEY}/samples/2.mp4", f"{KEY}/metrics.jsonl"]


def test_a_checkpoint_is_complete_when_its_last_file_is_stored(bucket, tmp_path, monkeypatch):
    folder = staged(bucket, tmp_path / "work")
    sent, put = [], bucket.put
    monkeypatch.setattr(bucket, "put", lambda key, *rest: (sent.append(key), put(key, *rest))[1])
    for name in ("complete", "optimizer.pt", "trained.safetensors"):
        write(folder, f"checkpoints/checkpoint-8/{name}")
    folder.store()
    assert len(sent) == 3 and sent[-1].endswith("/checkpoint-8/complete")


def test_another_machine_goes_on_with_what_is_stored(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "STORE_S", 0)
    folder = staged(bucket, tmp_path / "work")
    write(folder, "checkpoints/10/weights")
    folder.store()
    write(folder, "checkpoints/20/weights")
    write(folder, "cache/latents")
    write(folder, "samples/.half.mp4")
    folder.store()
    assert "checkpoints/20/weights" not in keys(bucket, KEY), "they are large, and come seldom"
    (folder.path / "checkpoints/10/weights").unlink()
    folder.store(at_end=True)
    stored = {"request.json", "checkpoints/20/weights"}
    assert keys(bucket, KEY) == stored
    other = staged(bucket, tmp_path / "other")
    assert {str(path.relative_to(other.path)) for path in other.path.rglob("*") if path.is_file()} == stored


def test_a_storage_that_fails_for_a_while_loses_nothing(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "STORE_S", 0)
    folder = staged(bucket, tmp_path / "work")
    write(folder, "samples/1.mp4")
    folder.append_metrics({"sample_id": "1"})
    with monkeypatch.context() as patch:

        def fail(*args):
            raise StorageError("s3://faces: the server does not answer")

        patch.setattr(bucket, "put", fail)
        folder.store()
        assert folder.num_lines == 0
        patch.setattr(run_folders, "PATIENCE_S", 0)
        with pytest.raises(StorageError, match="does not answer"):
            folder.store(at_end=True)
    folder.store()
    assert folder.num_lines == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_bucket_is_gone_says_so(either_storage, settings, monkeypatch):
    run = runs.queue_run(make_round(), "echo", lambda folder: {"word": "yes"}, actor=None)

    def fail(*args):
        raise StorageError("s3://faces: the server does not answer; look at it")

    if not either_storage.name.startswith("s3:"):
        return
    monkeypatch.setattr(site_storage(), "list", fail)
    work_here(run)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED and run.attempts == 0
    assert run.error.endswith("cannot reach the storage: s3://faces: the server does not answer; look at it")
