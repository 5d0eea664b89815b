"""A DPO round through everything that can be killed under it: the same adapter comes out, nothing is left.

The workers are real Celery workers on a real Redis; what is killed is killed by SIGKILL.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError

from annotate.exports.freezing import export_round
from annotate.jobs import runs
from annotate.jobs.run_logs import LOG
from annotate.jobs.tasks import send_whole_run
from annotate.models import ModelVersion, Round, Run, RunStatus, User
from annotate.supervisor.programs import worker
from annotate.supervisor.redis import Redis
from annotate.training.dpo import queue_dpo
from generator.rundir import RunDir, RunError
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.workers import database_url
from tests.factories import make_model, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATIENCE_S = 180
CONFIG = {"steps": 40, "batch_size": 1, "save_every": 2, "rank": 2, "held_out": 0.4, "evaluate_every": 10}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@pytest.fixture
def round(tmp_path: Path) -> Round:
    """Three pairs, and a policy of one layer with random weights."""
    pytest.importorskip("torch")
    folder = tmp_path / "model"
    from generator.model.tiny import build_tiny_pipeline, build_transformer

    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained(folder)
    round = make_round(policy=make_model(base_model=str(folder)), dpo=CONFIG)
    for _ in range(3):
        pair = make_pair(round)
        for track in Track:
            vote(pair, track, Verdict.FIRST)
    return round


class Site:
    """Redis, the site's worker and a GPU worker, each a process of its own, on this test's folders."""

    def __init__(self, folder: Path) -> None:
        self.redis = Redis(folder / "redis")
        self.broker = f"redis+socket://{self.redis.socket}"
        self.folder = folder
        self.started: list[psutil.Process] = []

    def start_redis(self) -> psutil.Process:
        self.redis.prepare()
        process = self._start(self.redis.command())
        wait_until(self.redis.is_ready, "Redis")
        return process

    def start_site_worker(self) -> psutil.Process:
        return self._start(worker("worker", "default,fleet", 1).argv, DATABASE_URL=database_url())

    def start_worker(self) -> psutil.Process:
        return self._start([sys.executable, "-m", "annotate.fleet", "--serve", "runs"])

    def send(self, run: Run) -> None:
        with Connection(self.broker) as broker:
            send_whole_run.apply_async((run.pk,), connection=broker)  # type: ignore[attr-defined]

    def training(self) -> psutil.Process:
        """The command that trains, wherever it hangs in the tree of processes."""
        return next(process for process in self.family() if "rlhf.dpo" in process.cmdline())

    def family(self) -> list[psutil.Process]:
        running = [process for process in self.started if process.is_running()]
        return [*running, *(child for process in running for child in process.children(recursive=True))]

    def _start(self, argv: list[str], **values: str) -> psutil.Process:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "annotate.settings",
            "CELERY_BROKER_URL": self.broker,
            "SECRET_KEY": "only for tests, where nothing is signed",
            "STORAGE_URL": settings.STORAGE_ROOT.as_uri(),
            "VAR_DIR": str(settings.VAR_DIR),
            **values,
        }
        with open(self.folder / "log.txt", "ab") as log:
            process = subprocess.Popen(argv, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log)
        self.started.append(psutil.Process(process.pid))
        return self.started[-1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for process in site.family():
        process.kill()
    psutil.wait_procs(site.started, PATIENCE_S)


def lines(run: Run) -> int:
    return len(runs.run_dir(run).read_metrics())


def status(run: Run) -> str:
    return str(Run.objects.values_list("status", flat=True).get(pk=run.pk))


def page_of(run: Run, lead: User) -> str:
    return str(browser_of(lead).get(f"/runs/{run.pk}/").content.decode())


def train_undisturbed(folder: RunDir) -> str:
    """The hash of the adapter that the same request gives, undisturbed, and with its own cache."""
    other = RunDir(folder.path.with_name("undisturbed"))
    other.create({name: value for name, value in folder.read_request().items() if name != "cache"})
    subprocess.run([sys.executable, "-m", "rlhf.dpo", str(other.path)], cwd=settings.BASE_DIR, check=True)
    return str(other.read_result()["adapter_sha256"])


def is_free(folder: RunDir) -> bool:
    try:
        with folder.open():
            return True
    except RunError:
        return False


def test_it_survives_whatever_is_killed(round: Round, site: Site) -> None:
    lead = make_user("lea", role=User.Role.LEAD)
    run = queue_dpo(round, export_round(round), lead)
    folder = runs.run_dir(run)
    redis = site.start_redis()
    site.start_site_worker()
    first = site.start_worker()

    # The training itself: the run failed, and says by what.
    site.send(run)
    wait_until(lambda: lines(run) >= 5, "five steps")
    site.training().kill()
    wait_until(lambda: status(run) == RunStatus.FAILED, "the end of the run")
    page = page_of(run, lead)
    assert "ended by SIGKILL, most often because memory ran out" in page
    assert "Go on from the last checkpoint" in page and "gradient_checkpointing on" in page

    # The disk is full while it trains: no file may grow any more.
    assert runs.retry_run(run)
    site.send(run)
    wait_until(lambda: lines(run) >= 10, "ten steps")
    room = (folder.path / LOG).stat().st_size + 16_384  # for the last word
    resource.prlimit(site.training().pid, resource.RLIMIT_FSIZE, (room, room))
    wait_until(lambda: status(run) == RunStatus.FAILED, "the end of the run")
    assert "Free space on the disk" in page_of(run, lead)

    # The worker, with all its processes: the page says what is known until the run is taken up again.
    assert runs.retry_run(run)
    site.send(run)
    wait_until(lambda: lines(run) >= 18, "eighteen steps")
    training = site.training()
    for process in [first, *first.children(recursive=True)]:
        if process != training:
            process.kill()
    psutil.wait_procs([training], PATIENCE_S)
    assert not training.is_running() and is_free(folder)
    assert status(run) == RunStatus.RUNNING and "Last sign of life" in page_of(run, lead)
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert "its worker is lost" in page_of(run, lead)
    assert runs.requeue_lost_runs() == [run.pk]

    # Redis: the run under way does not need it.
    second = site.start_worker()
    site.send(run)
    wait_until(lambda: lines(run) >= 26, "twenty-six steps")
    redis.kill()
    redis.wait()
    with pytest.raises(OperationalError):
        site.send(run)
    assert status(run) == RunStatus.RUNNING
    site.start_redis()
    wait_until(lambda: status(run) == RunStatus.DONE, "the end of the training")

    version = ModelVersion.objects.get(kind="dpo")
    assert version.weights_sha256 == train_undisturbed(folder)
    assert "Its model is" in page_of(run, lead)
    assert [child for child in second.children(recursive=True) if "rlhf.dpo" in child.cmdline()] == []
