"""One worker and its sampler, which here needs no model: what it makes, and each way in which it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import psutil
import pytest

from annotate.fleet import work
from annotate.fleet.messages import Kind, Report, ShardMessage
from annotate.fleet.resident import Resident
from annotate.fleet.software import software_version
from annotate.fleet.work import Worker
from annotate.storage.address import FolderAddress
from annotate.storage.folder import FolderStorage
from annotate.storage.interface import Storage

ROOT = Path(__file__).resolve().parents[3]
FOLDER = "runs/round-1/sample-1"
#: Samples as `generator.sample` does, at once; what a sample is called says what happens to it.
SAMPLER = """
import os, sys, time
from generator.parts import serve
from generator.rundir import RunError

loaded = []

def make(run):
    request = run.read_request()
    for place in [] if loaded else request["model"]["adapters"]:
        assert run.resolve(place).joinpath("weights").read_text() == "weights"
    loaded.append(run)
    failed = []
    for item in request["samples"]:
        name = item["sample_id"]
        assert run.resolve(item["references"][0]["path"]).read_text() == "a face"
        if name == "slow":
            time.sleep(60)
        if name == "memory":
            raise MemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        if name == "driver":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if name == "killed":
            os.kill(os.getpid(), 9)
        if name == "wrong":
            raise RunError("settings are no settings")
        if name == "unreadable":
            failed.append({"sample_id": name, "error": "the reference cannot be read"})
            continue
        for folder in ("samples", "shown"):
            (run.path / folder).mkdir(exist_ok=True)
            (run.path / folder / f"{name}.mp4").write_text(f"{name} by {os.getpid()}")
        run.append_metrics({"sample_id": name, "seconds": 1.0})
    run.write_result({"samples": [], "failed": failed, "precision": {"device": "cpu"}})

sys.exit(serve(make))
"""


class Fleet:
    """A worker, its storage, and what it said."""

    def __init__(self, folder: Path, command: str, storage: Storage) -> None:
        self.storage = storage
        self.storage.put("references/a.png", b"a face")
        self.storage.put("runs/round-0/dpo-1/adapter/weights", b"weights")
        self.said: list[Report] = []
        self.answer: Callable[[Report], bool] = lambda report: True
        environment = {"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin"}
        self.worker = Worker(
            name="gpu-0@here",
            device="a GPU",
            storage=self.storage,
            folder=folder / "worker",
            resident=Resident(ROOT, environment, stand_in=command),
            report=self._report,
        )

    def _report(self, report: Report) -> bool:
        self.said.append(report)
        return self.answer(report)

    def ask(self, *names: str, base: str = "a-hub/model") -> None:
        samples = [
            {
                "sample_id": name,
                "references": [{"path": "../../../references/a.png", "kind": "photo"}],
                "prompt": f"of {name}",
            }
            for name in names
        ]
        model = {"base": base, "adapters": ["../../round-0/dpo-1/adapter"]}
        request = {"model": model, "samples": samples}
        self.storage.put(f"{FOLDER}/request.json", json.dumps(request).encode())

    def work(self, start: int = 0, stop: int = 99, software: str = "", folder: str = FOLDER) -> list[Kind]:
        self.said.clear()
        message = ShardMessage(
            shard=1,
            number=1,
            ticket="t",
            folder=folder,
            start=start,
            stop=stop,
            parts="generator.resident",
            software=software or software_version(),
        )
        self.worker.work(message)
        return [report.kind for report in self.said]

    def video(self, name: str) -> str:
        with self.storage.local(f"{FOLDER}/samples/{name}.mp4") as place:
            return place.read_text()


@pytest.fixture
def fleet(tmp_path: Path):
    (tmp_path / "stand_in_sampler.py").write_text(SAMPLER)
    fleet = Fleet(tmp_path, "stand_in_sampler", FolderStorage(FolderAddress(tmp_path / "storage")))
    yield fleet
    fleet.worker.resident.let_go()


def test_it_brings_up_each_video_and_leaves_nothing_behind(fleet):
    fleet.ask("1", "2", "unreadable", "other shard")
    assert fleet.work(stop=3) == [Kind.BEGUN, Kind.MADE, Kind.MADE, Kind.ENDED]
    ended = fleet.said[-1]
    assert ended.made == ["1", "2"] and ended.facts == {"precision": {"device": "cpu"}}
    assert ended.failed == [{"sample_id": "unreadable", "error": "the reference cannot be read"}]
    assert {report.device for report in fleet.said} == {"a GPU"}
    assert fleet.video("1").startswith("1 by") and not fleet.worker.folder.exists()
    assert not fleet.storage.exists(f"{FOLDER}/samples/other shard.mp4")


def test_the_model_stays_loaded_over_shards_of_one_version(fleet):
    fleet.ask("1", "2")
    fleet.work(stop=1)
    fleet.work(start=1)
    assert fleet.video("1").split(" by ")[1] == fleet.video("2").split(" by ")[1]
    fleet.ask("3", base="a-hub/another")
    fleet.work()
    assert fleet.video("3").split(" by ")[1] != fleet.video("2").split(" by ")[1]


def test_a_sampler_whose_memory_grows_is_replaced(fleet, monkeypatch):
    monkeypatch.setattr("annotate.fleet.resident.GROWTH_BYTES", -(1 << 40))
    fleet.ask("1", "2")
    fleet.work(stop=1)
    fleet.work(start=1)
    assert fleet.video("1").split(" by ")[1] != fleet.video("2").split(" by ")[1]


def test_what_is_there_already_is_made_by_nobody_again(fleet):
    fleet.ask("1", "wrong")
    for folder in ("samples", "shown"):
        for name in ("1", "wrong"):
            fleet.storage.put(f"{FOLDER}/{folder}/{name}.mp4", b"made before")
    assert fleet.work() == [Kind.BEGUN, Kind.ENDED] and fleet.said[-1].made == ["1", "wrong"]
    assert fleet.video("1") == "made before"


def test_a_batch_is_made_whole_again_where_one_of_it_is_missing(fleet):
    """The last bits of a video depend on what is made beside it."""
    fleet.ask("1", "2")
    request = json.loads(fleet.storage.root.joinpath(FOLDER, "request.json").read_text())
    for item in request["samples"]:
        item["prompt"] = "of both"
    fleet.storage.put(f"{FOLDER}/request.json", json.dumps(request).encode())
    for folder in ("samples", "shown"):
        fleet.storage.put(f"{FOLDER}/{folder}/1.mp4", b"made before")
    assert fleet.work() == [Kind.BEGUN, Kind.MADE, Kind.MADE, Kind.ENDED]
    assert fleet.video("1") == "made before" and fleet.video("2").startswith("2 by")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("memory", Kind.FAILED, "memory ran out: MemoryError: CUDA out of memory"),
        ("driver", Kind.BACK, "its driver or device failed: RuntimeError: CUDA error"),
        ("killed", Kind.FAILED, "ended by SIGKILL, most often because the machine's memory ran out"),
        ("wrong", Kind.FAILED, "gpu-0@here: settings are no settings"),
    ],
)
def test_each_fault_is_a_line_and_finished_videos_are_kept(fleet, name, kind, says):
    fleet.ask("1", name)
    assert fleet.work() == [Kind.BEGUN, Kind.MADE, kind]
    assert says in fleet.said[-1].error and "\n" not in fleet.said[-1].error
    fleet.ask("1", "2")
    assert fleet.work() == [Kind.BEGUN, Kind.MADE, Kind.ENDED] and fleet.said[-1].made == ["1", "2"]


def test_a_worker_that_cannot_says_so_and_does_not_begin(fleet):
    fleet.ask("1")
    assert fleet.work(software="9.9.9") == [Kind.BEGUN, Kind.BACK]
    assert "has version" in fleet.said[-1].error and "9.9.9; update it" in fleet.said[-1].error
    fleet.ask("1", base="/models/nowhere")
    assert fleet.work() == [Kind.BEGUN, Kind.BACK]
    assert "has no model /models/nowhere; copy the folder" in fleet.said[-1].error
    assert (
        fleet.work(folder="runs/round-1/sample-2") == [Kind.BEGUN, Kind.BACK]
        and "storage" in fleet.said[-1].error
    )


def test_a_shard_that_somebody_else_has_is_left_alone(fleet):
    fleet.ask("1")
    fleet.answer = lambda report: False
    assert fleet.work() == [Kind.BEGUN] and not fleet.storage.exists(f"{FOLDER}/samples/1.mp4")


@pytest.mark.slow
def test_a_stopped_shard_goes_back_at_once_with_what_is_finished(fleet):
    fleet.ask("1", "slow")
    Timer(3.0, fleet.worker.is_stopped.set).start()
    assert fleet.work() == [Kind.BEGUN, Kind.MADE, Kind.BACK]
    assert fleet.said[-1].error == "" and fleet.video("1").startswith("1 by")


def test_a_storage_that_fails_for_a_while_loses_nothing(fleet, monkeypatch):
    monkeypatch.setattr(work, "RETRY_S", 0.05)
    fleet.ask("1")
    put, failures = fleet.storage.put, iter([OSError("the bucket is away")] * 3)

    def fail_first(key: str, source: bytes | Path) -> str:
        if error := next(failures, None):
            raise error
        return put(key, source)

    monkeypatch.setattr(fleet.storage, "put", fail_first)
    assert fleet.work() == [Kind.BEGUN, Kind.MADE, Kind.ENDED] and fleet.video("1").startswith("1 by")


def test_what_could_not_be_brought_up_is_not_reported(fleet, monkeypatch):
    monkeypatch.setattr(work, "RETRY_S", 0.05)
    fleet.ask("1", "2")

    def fail(key: str, source: bytes | Path) -> str:
        fleet.worker.is_stopped.set()
        raise OSError("the bucket is away")

    monkeypatch.setattr(fleet.storage, "put", fail)
    assert fleet.work() == [Kind.BEGUN, Kind.BACK]


def test_a_request_that_cannot_be_read_is_an_attempt_with_its_reason(fleet):
    fleet.ask("1")
    fleet.storage.put(f"{FOLDER}/request.json", b'{"model": {}}')
    assert fleet.work() == [Kind.BEGUN, Kind.FAILED]
    assert "cannot read the run's request: KeyError 'samples'" in fleet.said[-1].error


@pytest.mark.slow
def test_a_sampler_ends_with_the_worker_that_watches_it(fleet):
    fleet.ask("1", "slow")
    Timer(3.0, lambda: fleet.worker.resident._process.stdin.close()).start()
    fleet.work()
    assert [child for child in psutil.Process().children() if "stand_in_sampler" in child.cmdline()] == []
    assert fleet.said[-1].kind == Kind.FAILED
