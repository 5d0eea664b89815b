"""The site's worker and GPU workers as processes of their own, with a real Redis between them.

A GPU worker has no DATABASE_URL and no SECRET_KEY. Its model is the stand-in of `bench.fleet`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from kombu import Connection
from redis import Redis as Client

from annotate.fleet.messages import REPORT_QUEUE, SHARD_QUEUE, SHARD_TASK, Kind, Report, seal
from annotate.jobs import runs, tasks
from annotate.models import Run, RunStatus, Shard, Slot, VideoSample
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from annotate.supervisor.programs import worker
from annotate.supervisor.redis import Redis
from bench.fleet_sampler import CLIP, SECONDS
from tests.annotate.workers import database_url
from tests.factories import make_instance, make_model, make_round, write_test_clip

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

KEY = "the key of the fleet of these tests"
PATIENCE_S = 90


def wait_until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Site:
    """Redis, the site's worker, and GPU workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.redis = folder, Redis(folder / "redis")
        self.broker = f"redis+socket://{self.redis.socket}"
        self.started: list[psutil.Process] = []
        clip, _ = write_test_clip()
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "CELERY_BROKER_URL": self.broker,
            "FLEET_KEY": KEY,
            "STORAGE_URL": settings.STORAGE_ROOT.as_uri(),
            "LOG_LEVEL": "WARNING",
            SECONDS: "1.0",
            CLIP: str(settings.STORAGE_ROOT / clip),
        }

    def start(self, name: str, argv: list[str], **values: str) -> psutil.Process:
        environment = self.environment | {"VAR_DIR": str(self.folder / name)} | values
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(argv, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log)
        self.started.append(psutil.Process(process.pid))
        return self.started[-1]

    def start_site(self) -> None:
        self.redis.prepare()
        self.start("redis", self.redis.command())
        wait_until(self.redis.is_ready, "Redis")
        site = {"DATABASE_URL": database_url(), "SECRET_KEY": "only for tests, where nothing is signed"}
        self.start("site", worker("worker", "default,fleet", 1).argv, **site)

    def start_gpu_worker(self, number: int) -> psutil.Process:
        return self.start(f"gpu-{number}", [sys.executable, "-m", "bench.fleet_worker", str(number)])

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def send(self, task: str, queue: str, *arguments: object) -> None:
        with Connection(self.broker) as broker:
            tasks.take_report.app.send_task(task, arguments, queue=queue, connection=broker)

    def family(self) -> list[psutil.Process]:
        running = [process for process in self.started if process.is_running()]
        return [*running, *(child for process in running for child in process.children(recursive=True))]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.start_site()
    yield site
    family = site.family()
    for process in family:
        process.kill()
    psutil.wait_procs(family, PATIENCE_S)


def sampling_run(num_pairs: int) -> Run:
    round = make_round(policy=make_model(base_model="a stand-in"))
    plan_pairs(round, [make_instance(num_references=1) for _ in range(num_pairs)])
    run = queue_sampling(round)
    assert run is not None
    return run


def made(run: Run) -> int:
    return VideoSample.objects.filter(path__startswith=run.folder).count()


def status(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


def test_a_worker_without_a_database_makes_a_run_and_hands_back_what_it_is_told_to(site):
    first = site.start_gpu_worker(0)
    run = sampling_run(3)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(run) >= 1, "a first video")

    # SIGTERM: the shard is back at once, and what is finished is kept.
    first.send_signal(signal.SIGTERM)
    first.wait(PATIENCE_S)
    wait_until(lambda: Shard.objects.get().status in ("queued", "sent"), "the shard to be handed back")
    shard = Shard.objects.get()
    assert (shard.attempts, shard.error) == (0, "") and 1 <= made(run) < 6

    site.start_gpu_worker(1)
    wait_until(lambda: status(run) == RunStatus.DONE, "the end of the run")
    assert made(run) == 6 and Slot.objects.count() == 3 * 2
    shard.refresh_from_db()
    assert shard.worker.startswith("gpu-1@") and shard.device == "stand-in"

    # Cancelled from the site: the worker hears it, and lives on.
    second = sampling_run(20)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(second) >= 1, "a video of the second run")
    assert runs.cancel_run(Run.objects.get(pk=second.pk))
    wait_until(lambda: status(second) == RunStatus.CANCELLED, "the end of the second run")

    # Killed without a word: what it had begun is taken up as soon as one of its name is there again.
    third = sampling_run(3)
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_until(lambda: made(third) >= 1, "a video of the third run")
    killed = site.started[-1]
    for process in [killed, *killed.children(recursive=True)]:
        process.kill()
    killed.wait()
    site.start_gpu_worker(1)
    wait_until(lambda: status(third) == RunStatus.DONE, "the end of the third run")
    assert made(third) == 6 and Shard.objects.get(run=third).attempts == 1
    assert not any("DATABASE_URL" in process.environ() for process in [first, killed] if process.is_running())


def test_forged_messages_are_refused_in_a_line_by_both_sides(site):
    site.start_gpu_worker(0)
    report = Report(kind=Kind.HELLO, worker="gpu-0@here", claim="c")
    site.send("annotate.jobs.tasks.take_report", REPORT_QUEUE, seal("another key" * 4, report))
    site.send(SHARD_TASK, SHARD_QUEUE, "no signature at all")
    for name in ("site", "gpu-0"):
        wait_until(lambda name=name: "signature is wrong" in site.log(name), f"a line in the log of {name}")
    # The worker's own reports pass through, so the queues are empty only in between.
    with Client(unix_socket_path=str(site.redis.socket)) as client:
        wait_until(lambda: client.llen(SHARD_QUEUE) == client.llen(REPORT_QUEUE) == 0, "empty queues")
    assert [site.log(name).count("signature is wrong") for name in ("site", "gpu-0")] == [1, 1], "come again"


def test_one_command_keeps_a_process_for_each_device_and_ends_them_all(site):
    program = site.start("fleet", [sys.executable, "-m", "annotate.fleet"])

    def serving(what: str) -> list[psutil.Process]:
        living = [child for child in program.children() if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in living if child.cmdline()[-2:] == ["--serve", what]]

    wait_until(lambda: bool(serving("cpu") and serving("runs")), "one for the device, and one for whole runs")
    (first,) = serving("cpu")
    first.kill()
    wait_until(lambda: bool(serving("cpu")) and serving("cpu")[0] != first, "another one in its place")
    for name in ("gpu-cpu@", "runs@"):
        wait_until(lambda name=name: name in str(listening(site)), f"the control queue of {name}")
    family = [program, *program.children(recursive=True)]
    program.send_signal(signal.SIGTERM)
    assert psutil.wait_procs(family, PATIENCE_S)[1] == []
    assert "starting it again in 1 s" in site.log("fleet")


def listening(site: Site) -> set[bytes]:
    with Client(unix_socket_path=str(site.redis.socket)) as client:
        return set(client.smembers("_kombu.binding.celery.pidbox"))
